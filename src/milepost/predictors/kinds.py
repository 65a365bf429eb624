"""The table of runtime kinds: the plain ones, and those that wrap one of them."""

from collections.abc import Mapping
from types import MappingProxyType

from milepost.predictors.base import Predictor
from milepost.predictors.plain import PLAIN
from milepost.predictors.scoped import ScopedPredictor

KINDS: Mapping[str, type[Predictor]] = MappingProxyType(
    {**PLAIN, ScopedPredictor.kind: ScopedPredictor}
)
"""Class of each kind that a manifest may name."""
