"""The tuning of several tasks as long work: an adapter for each fold, one for all, a record."""

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import msgspec

from milepost._base.clock import Deadline
from milepost._base.digest import canonical_json
from milepost.entities.errors import InputError
from milepost.entities.ids import Digest
from milepost.entities.job import Step
from milepost.entities.together import Together
from milepost.models.graphs import bert
from milepost.strategies.multitask import Multitask
from milepost.strategies.tuning.mixing import Mixture
from milepost.strategies.watching import Watch
from milepost.strategy import DeclinedError
from milepost.workflows.context import Context
from milepost.workflows.together.joining import Joined
from milepost.workflows.together.stored import adapter_bytes
from milepost.workflows.upkeep.jobs import Kept, Work

SHARE = 0.5
"""Share of the whole work, in progress, that tuning is."""

_NEEDED = ("torch", "transformers", "peft")


class _Step(NamedTuple):
    """What one tuning came to."""

    adapter: Digest
    steps: int
    wanted: int
    seconds: float
    cpu_seconds: float
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Tuner:
    """Tunes an encoder on tasks together.

    Attributes:
        context: The workspace.
        work: The job.
        joined: The tasks.
        strategy: How.
        seed: The one seed.
        deadline: When the last tuning should be done.
    """

    context: Context
    work: Work
    joined: Joined
    strategy: Multitask
    seed: int
    deadline: Deadline

    def record(self) -> Digest:
        """Tune what was not tuned yet, and store the record.

        Raises:
            InputError: If the tasks cannot be tuned, such as without time.
        """
        left: list[int | None] = [*range(self.joined.count), None]
        done: list[_Step] = []
        for at, fold in enumerate(left):
            what = f"tuning {len(self.joined.parts)} tasks together, {at + 1} of {len(left)}"
            begin = SHARE * at / len(left)
            self.work.tell(what, begin)
            done.append(self._step(fold, what, begin, len(left) - at))
        *folds, whole = done
        encoder = self.context.encoder()
        record = Together(
            encoder=Digest(encoder.digest),
            tasks=self.joined.tasks(),
            adapters=tuple(step.adapter for step in folds),
            whole=whole.adapter,
            seed=self.seed,
            tuning=asdict(self.strategy.tuning(self._rows(None))),
            mix=asdict(self.strategy.mix()),
            steps=tuple(step.steps for step in done),
            seconds=sum(step.seconds for step in done),
            cpu_seconds=sum(step.cpu_seconds for step in done),
            notes=tuple(dict.fromkeys(note for step in done for note in step.notes)),
        )
        return self.context.artifacts.put(canonical_json(record))

    def _step(self, fold: int | None, what: str, begin: float, left: int) -> _Step:
        name = "adapter of all" if fold is None else f"adapter {fold}"
        deadline = Deadline()
        if self.deadline.at is not None:
            deadline = Deadline.after(self.deadline.remaining / left)
        span = SHARE / (self.joined.count + 1)

        def progress(share: float) -> None:
            self.work.tell(what, begin + span * share)

        return self.work.once(
            name, lambda: self._tuned(fold, deadline, progress), save=_kept, load=_read
        )

    def _tuned(
        self, fold: int | None, deadline: Deadline, progress: Callable[[float], None]
    ) -> _Step:

        from milepost.strategies.tuning.training import tune

        started, cpu_started = time.monotonic(), time.process_time()
        corpora = self.joined.corpora(fold)
        tuning = self.strategy.tuning(self._rows(fold))
        mixing = Mixture(self.strategy.mix(), corpora, self.seed)
        notes: list[str] = []
        try:
            tuned = tune(
                self.context.weights(),
                corpora,
                tuning,
                seed=self.seed,
                watch=Watch(deadline, progress, notes.append),
                mixing=mixing,
            )
        except DeclinedError as error:
            raise InputError(
                f"the tasks could not be tuned together: {error}",
                where="together",
                advice="Give more time (--budget), or a smaller step (--set multitask.rate=1e-3).",
            ) from error
        return _Step(
            adapter=self.context.artifacts.put(adapter_bytes(tuned.adapter)),
            steps=tuned.steps,
            wanted=tuning.steps,
            seconds=time.monotonic() - started,
            cpu_seconds=time.process_time() - cpu_started,
            notes=notes,
        )

    def _rows(self, fold: int | None) -> int:
        """Examples of all tasks, label names included."""
        return sum(len(each.with_labels()[1]) for each in self.joined.corpora(fold))


def check_tunable(context: Context) -> None:
    """Refuse what cannot tune, before anything is done.

    Raises:
        InputError: If torch is missing, or the encoder has no weights of the BERT form.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"tuning tasks together needs {', '.join(missing)}.",
            where="together",
            advice="pip install 'milepost[train]'",
        )
    folder = context.weights()
    if not bert.supports(folder):
        raise InputError(
            f"encoders of type bert alone are tuned; this one is {folder.model_type or 'unknown'}.",
            where="milepost.toml: encoder",
            advice="Improve without --together, or set another encoder.",
        )


class _KeptStep(msgspec.Struct, frozen=True):
    adapter: Digest
    steps: int
    seconds: float
    notes: tuple[str, ...]
    cpu_seconds: float = 0.0


def _kept(step: _Step) -> Kept | None:
    """Nothing where time cut it short: a later process with more tries again."""
    if step.steps < step.wanted:
        return None
    kept = _KeptStep(step.adapter, step.steps, step.seconds, tuple(step.notes), step.cpu_seconds)
    return Kept(msgspec.to_builtins(kept), (step.adapter,))


def _read(step: Step) -> _Step:
    kept = msgspec.convert(step.result, _KeptStep)
    return _Step(kept.adapter, kept.steps, kept.steps, kept.seconds, kept.cpu_seconds, kept.notes)
