"""The table of runtime kinds: the plain ones, and those that are made of others."""

from collections.abc import Mapping
from types import MappingProxyType

from milepost.predictors.base import Predictor
from milepost.predictors.cascade import CascadePredictor, TextCascadePredictor
from milepost.predictors.ensemble import EnsemblePredictor, TextEnsemblePredictor
from milepost.predictors.plain import PLAIN
from milepost.predictors.scoped import ScopedPredictor

KINDS: Mapping[str, type[Predictor]] = MappingProxyType(
    {
        **PLAIN,
        ScopedPredictor.kind: ScopedPredictor,
        CascadePredictor.kind: CascadePredictor,
        EnsemblePredictor.kind: EnsemblePredictor,
        TextEnsemblePredictor.kind: TextEnsemblePredictor,
        TextCascadePredictor.kind: TextCascadePredictor,
    }
)
"""Class of each kind that a manifest may name."""
