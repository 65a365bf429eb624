"""A piece of a job that is done whole or not at all: its own steps are not kept."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from milepost._base.digest import digest_of
from milepost.entities.ids import JobId
from milepost.entities.job import Step
from milepost.workflows.upkeep.jobs import Kept, Work

_T = TypeVar("_T")


class Part(Work):
    """The work of a job on one of its subjects, under the same lease.

    Its id follows from that of the job and its own name, so that a later process which does it
    again does the same work once more.

    Args:
        whole: The work that it is a part of.
        name: Its name, unique in the work.
        shares: Share of the whole that is done when it begins, and when it ends.
    """

    def __init__(self, whole: Work, name: str, shares: tuple[float, float]) -> None:
        self.lease = whole.lease
        self._context, self._pulse, self._steps = whole._context, whole._pulse, whole._steps
        self._doing = whole._doing
        self._name, self._shares = name, shares
        identity = JobId(f"j{digest_of([whole.job.id, name])[:12]}")
        self.job = msgspec.structs.replace(whole.job, id=identity)

    @property
    def finished(self) -> tuple[str, ...]:
        """None: it is done whole or not at all."""
        return ()

    @property
    def spent(self) -> float:
        """Nothing before it is done."""
        return 0.0

    def tell(self, what: str, share: float) -> None:
        """Say how far it is, as a share of the whole."""
        begin, end = self._shares
        super().tell(f"{self._name}: {what}", begin + share * (end - begin))

    def once(
        self,
        name: str,
        compute: Callable[[], _T],
        save: Callable[[_T], Kept | None],
        load: Callable[[Step], _T],
    ) -> _T:
        """The value of a step, computed; what it stores is stored, and nothing is noted."""
        del name, load
        self._require()
        value = compute()
        save(value)
        return value
