"""Records of the search for wrong labels."""

import msgspec


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A training row whose label is probably wrong.

    Attributes:
        id: Id of the example.
        source: Where it is, as ``file:row``.
        text: The input, shortened.
        label: The label that it carries.
        suggested: The label that fits best.
        probability: Probability of the label that it carries, from fits without the row's group.
        suggested_probability: Probability of the suggested one.
        reasons: Why, in sentences.
    """

    id: str
    source: str
    text: str
    label: str
    suggested: str
    probability: float
    suggested_probability: float
    reasons: tuple[str, ...]


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric of the closed-form head does when suspects are left out of its training.

    Attributes:
        judged: ``all rows``.
        n: Rows judged, by the labels that they carry.
        before: Metric with all other folds in training.
        after: Metric on the same rows without the groups of those folds' suspects.
        difference: ``after`` minus ``before``.
        low: Lower end of the paired interval of the difference.
        high: Upper end of it.
    """

    judged: str
    n: int
    before: float
    after: float
    difference: float
    low: float
    high: float


class Suspects(msgspec.Struct, frozen=True, kw_only=True):
    """All training rows ranked by how probably their label is wrong.

    Attributes:
        task: Task name.
        rows: Labelled training rows looked at.
        disagreeing: Rows for which another label is more probable than the one they carry. It is
            no estimate of how many labels are wrong.
        metric: Metric of ``removal``.
        removed: Rows that ``removal`` leaves out: the groups of those that disagree.
        removal: Effect of leaving such rows out, in folds; ``None`` where none is.
        suspects: The most suspicious first; as many as were asked for.
        notes: How to read the numbers.
    """

    task: str
    rows: int
    disagreeing: int
    metric: str
    removed: int
    removal: Removal | None
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...] = ()
