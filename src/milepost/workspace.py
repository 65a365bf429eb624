"""The composition root and the Python API: construction and delegation, nothing else.

::

    import milepost as mp
    ws = mp.Workspace.create("support")
    ws.add(mp.Task(name="route", labels={...}), examples=dataframe)
    print(ws.improve("route").leaderboard)
    ws.predict("route", ["my card was stolen"])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from milepost.entities.configuration import Configuration
from milepost.entities.contest import Contest, Evaluation
from milepost.entities.errors import UnknownNameError
from milepost.entities.example import QualityReport
from milepost.entities.prediction import Predictions
from milepost.entities.release import Channel, Release
from milepost.entities.task import Objective, Task
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.plain import improve_json
from milepost.reports.records import TaskRow
from milepost.workflows import answer, opening, publishing
from milepost.workflows.answer import Answered, Which
from milepost.workflows.contest import improve
from milepost.workflows.context import Context, Events
from milepost.workflows.release import channels as releasing
from milepost.workflows.tasks import ingest
from milepost.workflows.tasks.files import read_task, task_names


@dataclass(frozen=True, slots=True, eq=False)
class Improvement:
    """What an improvement came to; prints as a table and shows as HTML in a notebook.

    Attributes:
        contest: The record: candidates, scorecards, verdict, release.
        quality: What was found in the data.
    """

    contest: Contest
    quality: QualityReport

    @property
    def leaderboard(self) -> Leaderboard:
        """The candidates as a table."""
        return Leaderboard(self.contest)

    def to_dict(self) -> dict[str, object]:
        """The stable JSON form."""
        return improve_json([self.contest])

    def __str__(self) -> str:
        return str(self.leaderboard)

    def _repr_html_(self) -> str:
        return self.leaderboard.html()


class Workspace:
    """A folder with tasks, data, a ledger and artifacts.

    Made by :meth:`create` or :meth:`open`; all methods raise :class:`milepost.MilepostError` with
    what was wrong, where, and what to do.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    @classmethod
    def create(
        cls, directory: str | Path, configuration: Configuration | None = None
    ) -> "Workspace":
        """Make a workspace in a new or empty folder, and open it.

        Raises:
            WorkspaceError: If the folder holds something already or cannot be written.
        """
        return cls(opening.create(Path(directory), configuration or Configuration()))

    @classmethod
    def open(cls, directory: str | Path | None = None) -> "Workspace":
        """Open a workspace.

        Args:
            directory: Its folder; ``None`` takes ``MILEPOST_WORKSPACE``, else the nearest folder
                upwards that holds ``milepost.toml``.

        Raises:
            WorkspaceError: If there is none, or a newer milepost wrote it.
        """
        return cls(opening.open_context(Path(directory) if directory is not None else None))

    @classmethod
    def demo(cls, directory: str | Path) -> "Workspace":
        """Make a workspace with the example inbox and its tasks.

        Raises:
            WorkspaceError: As :meth:`create`.
        """
        context = opening.create(Path(directory), Configuration())
        ingest.copy_demo(context.root)
        return cls(context)

    @classmethod
    def from_file(
        cls,
        directory: str | Path,
        source: object,
        *,
        task: str,
        text: str = "text",
        label: str = "label",
        objective: Objective | None = None,
    ) -> tuple["Workspace", Task, QualityReport]:
        """Make a workspace with one task from a labelled file or dataframe.

        Args:
            directory: A new or empty folder.
            source: A CSV, JSONL or Parquet file, ``"-"`` for standard input, or a dataframe.
            task: Name of the task.
            text: Column of the text.
            label: Column of the label.
            objective: What "good enough" means; the default has no floor.

        Raises:
            InputError: If the file, a column, the name or the data cannot be used; nothing is
                written then.
            WorkspaceError: As :meth:`create`.
        """
        columns = ingest.Columns(text=text, label=label)
        plan = ingest.plan_workspace(source, task, columns, objective or Objective())
        context = opening.create(Path(directory), Configuration())
        made, quality = ingest.carry_out(context, plan)
        return cls(context), made, quality

    @property
    def root(self) -> Path:
        """Folder of the workspace."""
        return self._context.root

    @cached_property
    def configuration(self) -> Configuration:
        """What ``milepost.toml`` says."""
        return self._context.configuration

    def task_names(self, wanted: Sequence[str] | None = None) -> list[str]:
        """Names of all tasks, or the wanted ones.

        Raises:
            UnknownNameError: If a wanted one does not exist.
        """
        names = task_names(self.root)
        for name in wanted or ():
            if name not in names:
                raise UnknownNameError("task", name, names)
        return list(wanted) if wanted else names

    def task(self, name: str) -> Task:
        """The task as its file says now.

        Raises:
            UnknownNameError: If there is none.
            TaskFileError: With every problem of the file.
        """
        return read_task(self.root, name)

    def add(self, task: Task, examples: object | None = None, test: object | None = None) -> Task:
        """Add a task, with any dataframe or file as its examples and as its own test set.

        The YAML file is written; without declared labels those of the examples are taken.

        Raises:
            InputError: If there is such a task already, or the data cannot be used.
        """
        return ingest.add_task(self._context, task, examples, test)[0]

    def add_file(
        self,
        name: str,
        source: object,
        *,
        role: str = "examples",
        text: str | None = None,
        label: str | None = None,
    ) -> tuple[Task, QualityReport]:
        """Add a file or dataframe to a task; a new name makes a new task.

        Raises:
            InputError: If the role is unknown or the data does not fit; nothing is written then.
        """
        columns = ingest.Columns(text=text, label=label)
        return ingest.add_file(self._context, name, source, role, columns)

    def check(self, name: str | None = None) -> list[ingest.Checked]:
        """Every problem of one task or of all; none is raised."""
        return ingest.check(self._context, name)

    def improve(
        self,
        name: str,
        *,
        budget: float | None = None,
        seed: int = 0,
        strategies: Sequence[str] | None = None,
        on_event: Events | None = None,
    ) -> Improvement:
        """Let strategies compete, judge them, and release what passes the gate.

        Args:
            name: Name of the task.
            budget: Wall seconds; ``None`` for no limit.
            seed: The same seed gives the same choice and quality columns.
            strategies: Names of those that compete; ``None`` for all.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            InputError: If the task file, its data or a name cannot be used.
        """
        options = improve.Options(budget=budget, seed=seed, strategies=strategies)
        done = improve.improve(self._telling(on_event), name, options)
        return Improvement(done.contest, done.quality)

    def answer(
        self,
        name: str,
        inputs: Sequence[str],
        *,
        release: int | None = None,
        candidate: str | None = None,
    ) -> Answered:
        """Answers with what answered them; see :meth:`predict`."""
        which = Which(release=release, candidate=candidate)
        return answer.answer_texts(self._context, name, inputs, which)

    def predict(
        self,
        name: str,
        inputs: Sequence[str],
        *,
        release: int | None = None,
        candidate: str | None = None,
    ) -> Predictions:
        """Answer texts with what is in production, a numbered release, or a candidate.

        Returns:
            Labels and calibrated probabilities ``(n, k) float32``.

        Raises:
            WorkspaceError: If there is no release yet.
            UnknownNameError: If there is no such task, release or candidate.
        """
        return self.answer(name, inputs, release=release, candidate=candidate).predictions

    def predict_file(
        self,
        name: str,
        source: object,
        *,
        release: int | None = None,
        candidate: str | None = None,
        where: str | None = None,
        on_event: Events | None = None,
    ) -> Answered:
        """Answer every row of a file or dataframe; its columns are kept."""
        which = Which(release=release, candidate=candidate)
        return answer.answer_file(self._telling(on_event), name, source, which, where)

    def evaluate(
        self,
        name: str,
        data: object,
        *,
        release: int | None = None,
        candidate: str | None = None,
        where: str | None = None,
        on_event: Events | None = None,
    ) -> Evaluation:
        """Measure a release or candidate on a labelled file or dataframe from outside."""
        which = Which(release=release, candidate=candidate)
        return answer.evaluate(self._telling(on_event), name, data, which, where)

    def contest(self, name: str) -> Contest:
        """The last contest of a task.

        Raises:
            WorkspaceError: If there was none.
        """
        return publishing.last_contest(self._context, name)

    def overview(self) -> list[TaskRow]:
        """A row per task: its last verdict and what runs."""
        return publishing.overview(self._context)

    def releases(self, name: str) -> list[Release]:
        """Releases of a task, newest first."""
        return releasing.releases(self._context, name)

    def channel(self, name: str, channel: str = "production") -> Channel | None:
        """Where a channel points, or ``None`` before the first release."""
        return releasing.channel(self._context, name, channel)

    def promote(self, name: str, release: int, *, reason: str = "promoted by hand") -> Channel:
        """Point production at a release.

        Raises:
            UnknownNameError: If there is no such release.
            ConflictError: If somebody else moved the channel meanwhile.
        """
        return releasing.promote(self._context, name, release, reason)

    def rollback(self, name: str, *, reason: str = "rolled back by hand") -> Channel:
        """Point production back at the release before.

        Raises:
            WorkspaceError: If there is none before.
            ConflictError: If somebody else moved the channel meanwhile.
        """
        return releasing.rollback(self._context, name, reason)

    def export(self, name: str, directory: str | Path, *, release: int | None = None) -> int:
        """Write a release with its encoder as a folder that answers anywhere; returns its number.

        Raises:
            WorkspaceError: If there is no release, or the folder is not empty.
        """
        return releasing.export(self._context, name, Path(directory), release)

    def report(self, name: str | None, output: str | Path) -> Path:
        """Write one self-contained HTML page about a task, or about all when ``name`` is None."""
        return publishing.write_report(self._context, name, Path(output))

    def charts(self, name: str | None, directory: str | Path) -> list[Path]:
        """Write the charts as PNG files into one folder per task."""
        return publishing.write_pictures(self._context, name, Path(directory))

    def _telling(self, on_event: Callable[[str, str, float], None] | None) -> Context:
        return self._context if on_event is None else replace(self._context, on_event=on_event)
