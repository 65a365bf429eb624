"""What a task may ask of its predictor besides the objective; each field is left out by default."""

from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$(?!\n)")]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
OpenShare = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A declared test of behaviour (Ribeiro et al. 2020, CheckList).

    An invariance and a direction change inputs, in one way: by ``change``, by ``replace``, or by
    ``prefix`` and ``suffix``.

    Attributes:
        name: Name of the test, unique in the task.
        kind: ``invariance``: the change must not change the answer. ``direction``: the change must
            not lower the probability of ``label``. ``minimum``: the cases must be answered right.
        change: A built-in change, such as ``typos`` or ``upper_case``.
        replace: Whole words to replace, each by its replacement; only inputs that hold one take
            part.
        prefix: Text put before the input as it is written, spaces included.
        suffix: Text put behind the input as it is written, spaces included.
        where: SQL predicate that inputs or cases must fulfil to take part; all when left out.
        label: The label that a direction is about.
        file: File with the cases of a minimum, with the task's columns; relative to the workspace.
        by: Column of that file; each of its values must reach ``at_least``, and is reported on
            its own.
        tolerance: Largest loss of probability that a direction lets pass, 0 to 1; 0.05 when left
            out.
        at_least: Smallest share of the cases that must pass, 0 to 1.
    """

    name: Name
    kind: Literal["invariance", "direction", "minimum"]
    change: NonEmpty | None = None
    replace: dict[NonEmpty, str] = {}
    prefix: str = ""
    suffix: str = ""
    where: NonEmpty | None = None
    label: NonEmpty | None = None
    file: NonEmpty | None = None
    by: NonEmpty | None = None
    tolerance: Share | None = None
    at_least: Share = 0.95


Criterion = Literal["equal_opportunity", "equalised_odds", "demographic_parity", "metric"]


class FairnessRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which groups must be treated alike, and how far apart they may be.

    Attributes:
        by: Metadata columns whose values are the groups.
        terms: Groups of identity terms by attribute, such as
            ``religion: [christian, jewish, muslim]``; an input belongs to the groups whose term it
            holds as a whole word, and terms are swapped for each other to see whether the answer
            changes. Forms of a term stand side by side, equally many for every term of an
            attribute: ``gender: [woman|women, man|men]``.
        label: The answer that matters, such as ``toxic``; every label in turn when left out.
        max_gap: Largest allowed gap between two groups, 0 to 1; only reported when left out.
        criteria: What that limit is for: ``equal_opportunity`` (true positive rate),
            ``equalised_odds`` (true and false positive rate), ``demographic_parity`` (share
            answered with the label) or ``metric``.
        max_flips: Largest allowed share of answers that swapping identity terms changes, 0 to 1;
            only reported when left out.
    """

    by: tuple[NonEmpty, ...] = ()
    terms: dict[Name, tuple[NonEmpty, ...]] = {}
    label: NonEmpty | None = None
    max_gap: Share | None = None
    criteria: tuple[Criterion, ...] = ("equalised_odds", "metric")
    max_flips: Share | None = None


class AbstainRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a predictor should rather not answer.

    Attributes:
        at_most_wrong: Largest share of wrong answers among those given, in (0, 1).
        confidence: Confidence of that bound, in (0, 1).
    """

    at_most_wrong: OpenShare
    confidence: OpenShare = 0.95


class ScopeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How inputs that belong to none of the labels are known.

    Attributes:
        label: The label that stands for "none of them", such as ``oos``. Its rows are examples of
            what is out of scope; without any, list it among the labels.
        keep: Smallest share of the inputs in scope that must not be turned away, in (0, 1).
    """

    label: NonEmpty
    keep: OpenShare = 0.95
