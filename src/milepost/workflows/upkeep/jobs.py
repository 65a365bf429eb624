"""Long work that survives: its steps are recorded as they finish, and none is repeated.

Knows nothing of what the work is. ``working`` takes the job's lease, gives signs of life from a
thread of its own, and says at the end how the job stands::

    with working(context, plan) as work:
        pages = work.once("read", read, save=stored, load=restored)

A process that ends without a word leaves its job to the next one that asks for the same work.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from milepost._base.clock import Deadline
from milepost._base.process import identity
from milepost.entities.errors import (
    CorruptError,
    InputError,
    LostError,
    MilepostError,
    StorageError,
    UnreachableError,
)
from milepost.entities.ids import Digest
from milepost.entities.job import UNFINISHED, Job, JobStatus, Plan, Step
from milepost.storage.records.jobs import Begun
from milepost.workflows.context import Context

RECONNECT_SECONDS = 15.0
"""How long a finished step waits for a database server that does not answer."""

BEAT_SECONDS = 1.0
"""Between two writes of progress."""

_T = TypeVar("_T")
_log = logging.getLogger("milepost.jobs")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is recorded of a finished step.

    Attributes:
        result: Plain values and digests, from which the step's value can be had again.
        artifacts: Digests of all stored bytes that this needs.
    """

    result: dict[str, object]
    artifacts: tuple[Digest, ...] = ()


class _Stopped(BaseException):
    """Ends the work from within a strategy, whatever that catches, as KeyboardInterrupt does."""

    def __init__(self, error: MilepostError) -> None:
        self.error = error


class Work:
    """A job that this process works on. Made by ``working``.

    Attributes:
        job: The job as it was begun, or begun again.
        lease: Guards every write.
    """

    def __init__(self, context: Context, begun: Begun, pulse: "_Pulse") -> None:
        self.job = begun.job
        self.lease = begun.lease
        self._context = context
        self._pulse = pulse
        self._steps = {step.name: step for step in begun.steps}
        self._doing = pulse.doing

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the finished steps."""
        return tuple(self._steps)

    @property
    def spent(self) -> float:
        """Seconds that the finished steps took, in all processes."""
        return sum(step.seconds for step in self._steps.values())

    def tell(self, what: str, share: float) -> None:
        """Say what is being done and which share of the job is done, 0 to 1; never waits.

        A job that was cancelled, or taken over, ends here at the latest.
        """
        self._doing = (what, share)
        self._say(what, share)

    def tell_more(self, detail: str) -> None:
        """Say how what was told last gets on; as ``tell``."""
        what, share = self._doing
        self._say(f"{what}: {detail}", share)

    def _say(self, what: str, share: float) -> None:
        self._pulse.doing = (what, share)
        self._context.on_event(self.job.subject, what, share)
        if self._pulse.lost.is_set():
            raise _Stopped(self._lost())

    def once(
        self,
        name: str,
        compute: Callable[[], _T],
        save: Callable[[_T], Kept | None],
        load: Callable[[Step], _T],
    ) -> _T:
        """The value of a step: computed and recorded now, or as it was recorded before.

        Args:
            name: Unique in the job.
            compute: Does the work.
            save: Stores the value; ``None`` when it is not worth keeping, so that the next process
                tries again.
            load: The value that ``save`` stored.

        Raises:
            LostError: If the job was cancelled or taken over.
            UnreachableError: If the database does not come back in time.
        """
        step = self._steps.get(name)
        if step is not None:
            try:
                return load(step)
            except StorageError as error:
                # Bytes that are gone or went bad cost doing the step again. A store that is only
                # away does not: what it holds was paid for.
                if not isinstance(error, CorruptError) and self._held(step):
                    raise
        self._require()
        started = time.monotonic()
        value = compute()
        seconds = time.monotonic() - started
        kept = save(value)
        if kept is None:
            return value
        step = Step(
            name=name,
            result=kept.result,
            artifacts=kept.artifacts,
            seconds=seconds,
            finished=self._context.clock(),
        )
        self.reach(
            lambda: self._context.ledger.finish_step(
                self.job.id, self.lease, step, self._pulse.doing
            )
        )
        self._steps[name] = step
        return value

    def reach(self, write: Callable[[], _T]) -> _T:
        """What ``write`` gives, once the database server answers; it must bear being repeated.

        Raises:
            LostError: If the job was cancelled or taken over.
            UnreachableError: If the server does not answer for ``RECONNECT_SECONDS``.
        """
        patience, pause = Deadline.after(RECONNECT_SECONDS), 0.1
        while True:
            try:
                return write()
            except UnreachableError as error:
                if patience.passed:
                    raise UnreachableError(
                        error.what,
                        where=error.where,
                        advice="Once it runs, run the command again: it goes on after the last of "
                        f"the {len(self._steps)} finished steps.",
                    ) from error
                time.sleep(min(pause, patience.remaining))
                pause = min(2 * pause, 2.0)
            except LostError:
                raise self._lost() from None

    def _require(self) -> None:
        """Raise ``LostError`` if a sign of life was refused."""
        if self._pulse.lost.is_set():
            raise self._lost()

    def _held(self, step: Step) -> bool:
        return all(self._context.artifacts.exists(digest) for digest in step.artifacts)

    def _lost(self) -> LostError:
        how = "taken from this process"
        with suppress(MilepostError):
            job = self._context.ledger.job(self.job.id)
            if job.status == "cancelled" and job.error:
                how = job.error
            elif job.holder is not None:
                how = f"taken over by {job.holder}"
        return LostError(
            f"the job {self.job.id} was {how}.",
            where=f"{self.job.kind} {self.job.subject}",
            advice="This process has written nothing since.",
        )


@contextmanager
def working(context: Context, plan: Plan) -> Generator[Work]:
    """Work on a job: go on with an unfinished one that is the same work, or begin a new one.

    Raises:
        HeldError: If another process is at it.
        LostError: If the job was cancelled or taken over meanwhile.
    """
    seconds = context.settings.lease_seconds
    begun = context.ledger.begin_job(plan, identity(), seconds, context.actor)
    for other in begun.superseded:
        _log.info("Starting anew: job %s, which stopped, had other data or options.", other)
    pulse = _Pulse(context, begun, seconds)
    work = Work(context, begun, pulse)
    status: JobStatus = "interrupted"
    said: str | None = None
    pulse.start()
    try:
        yield work
        status = "done"
    except _Stopped as stop:
        raise stop.error from None
    except InputError as error:
        # What was refused before a step was finished leaves nothing to go on with.
        status, said = "failed" if work.finished else "cancelled", f"refused: {error}".rstrip(".")
        raise
    except Exception as error:
        status, said = "failed", str(error)
        raise
    finally:
        pulse.stop()
        # A database that is away, or a lease that was lost, says by itself how the job stands.
        with suppress(MilepostError):
            context.ledger.end_job(work.job.id, work.lease, status, said)


def jobs(context: Context, *, ended: bool = False) -> tuple[Job, ...]:
    """Unfinished jobs, newest first; with ``ended`` those of all time."""
    every: tuple[JobStatus, ...] = (*UNFINISHED, "done", "cancelled", "superseded")
    return context.ledger.jobs(every if ended else UNFINISHED)


def cancel(context: Context, job: str, reason: str) -> Job:
    """End an unfinished job for good.

    Raises:
        UnknownNameError: If there is no such job.
        InputError: If it has ended already.
    """
    return context.ledger.cancel_job(job, reason, context.actor)


class _Pulse:
    """Signs of life from a thread of its own: progress when there is news, the lease in any case.

    Attributes:
        doing: What is being done, and which share of the job is done.
        lost: Set once a sign of life was refused.
    """

    def __init__(self, context: Context, begun: Begun, seconds: float) -> None:
        self.doing = (begun.job.doing, begun.job.share)
        self.lost = threading.Event()
        self._ledger = context.ledger
        self._begun = begun
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milepost job", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, without waiting for a database that does not answer."""
        self._ended.set()
        self._thread.join(timeout=2 * BEAT_SECONDS)

    def _run(self) -> None:
        told, renewed = self.doing, time.monotonic()
        while not self._ended.wait(min(BEAT_SECONDS, self._seconds / 3)):
            doing, now = self.doing, time.monotonic()
            if doing == told and now - renewed < self._seconds / 3:
                continue
            try:
                self._ledger.beat(self._begun.job.id, self._begun.lease, self._seconds, *doing)
            except LostError:
                self.lost.set()
                return
            except MilepostError:
                continue  # progress is never worth the work; the next beat tries again
            told, renewed = doing, now
