"""What a query is answered with: candidates in order."""

import msgspec


class Placed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate in its place.

    Attributes:
        text: What it says.
        score: How likely it is relevant to the query, 0 to 1.
        trace_id: Under which a server recorded it; left out elsewhere.
    """

    text: str
    score: float
    trace_id: str = ""


class Rankings(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of candidates.

    Attributes:
        task: Name of the task.
        release: Number of the release that ordered them, or ``None`` for a candidate of a contest.
        candidate: Id of the candidate of a contest that ordered them.
        queries: What was asked.
        rankings: For each query what may answer it, best first.
        collection: How many candidates there are in all.
    """

    task: str
    release: int | None
    candidate: str
    queries: tuple[str, ...]
    rankings: tuple[tuple[Placed, ...], ...]
    collection: int

    def __len__(self) -> int:
        return len(self.queries)
