"""The kinds that answer on their own: a new one is a module and a row here."""

from collections.abc import Mapping
from types import MappingProxyType

from milepost.predictors.base import Predictor
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.neighbours import NeighboursPredictor
from milepost.predictors.prompting.predictor import PromptedPredictor, RetrievingPredictor
from milepost.predictors.static import StaticPredictor
from milepost.predictors.tfidf import TfidfPredictor

PLAIN: Mapping[str, type[Predictor]] = MappingProxyType(
    {
        kind.kind: kind
        for kind in (
            ConstantPredictor,
            LinearPredictor,
            NeighboursPredictor,
            PromptedPredictor,
            RetrievingPredictor,
            StaticPredictor,
            TfidfPredictor,
        )
    }
)
"""Class of each kind that needs no other predictor."""
