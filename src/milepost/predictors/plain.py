"""The kinds that answer on their own: a new one is a module and a row here."""

from collections.abc import Mapping
from types import MappingProxyType

from milepost.predictors.base import Predictor
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.neighbours import NeighboursPredictor
from milepost.predictors.ordinal import OrdinalPredictor
from milepost.predictors.own_encoder import OwnEncoderPredictor
from milepost.predictors.prompting.predictor import PromptedPredictor, RetrievingPredictor
from milepost.predictors.ranking import Ranker, WordRanker
from milepost.predictors.static import StaticPredictor
from milepost.predictors.tagging.gazetteer import GazetteerPredictor
from milepost.predictors.tagging.tagger import StateTagger, WordTagger
from milepost.predictors.tfidf import TfidfPredictor
from milepost.predictors.trees import TreesPredictor

PLAIN: Mapping[str, type[Predictor]] = MappingProxyType(
    {
        kind.kind: kind
        for kind in (
            ConstantPredictor,
            GazetteerPredictor,
            LinearPredictor,
            NeighboursPredictor,
            OrdinalPredictor,
            OwnEncoderPredictor,
            PromptedPredictor,
            Ranker,
            RetrievingPredictor,
            StateTagger,
            StaticPredictor,
            TfidfPredictor,
            WordTagger,
            TreesPredictor,
            WordRanker,
        )
    }
)
"""Class of each kind that needs no other predictor."""
