"""The composition root and the Python API: construction and delegation, nothing else.

::

    import milepost as mp
    ws = mp.Workspace.create("support")
    ws.add(mp.Task(name="route", labels={...}), examples=dataframe)
    print(ws.improve("route").leaderboard)
    ws.predict("route", ["my card was stolen"])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from milepost._base.later import Later
from milepost.entities.configuration import Configuration
from milepost.entities.errors import UnknownNameError
from milepost.entities.task import Objective
from milepost.workflows import opening
from milepost.workflows.tasks.files import read_task, task_names

if TYPE_CHECKING:
    from datetime import date

    from milepost.entities.advice import Advice, Assumptions
    from milepost.entities.audit import AuditReport
    from milepost.entities.backup import BackupMade, BackupManifest, Restored, StoreMoved
    from milepost.entities.cascade import Recheck
    from milepost.entities.contest import Contest, Evaluation
    from milepost.entities.difference import Difference
    from milepost.entities.example import QualityReport
    from milepost.entities.job import Job
    from milepost.entities.learning import Forgotten, Learned
    from milepost.entities.lineage import Lineage
    from milepost.entities.looking import Looks
    from milepost.entities.migration import Migration, Move
    from milepost.entities.model_calls import SpendBy
    from milepost.entities.money import Budget, Period
    from milepost.entities.prediction import Predictions
    from milepost.entities.prompts import (
        PromptAlias,
        PromptState,
        PromptTemplate,
        PromptVersion,
    )
    from milepost.entities.ranking import Rankings
    from milepost.entities.release import ApprovalState, Approved, AuditEntry, Channel, Release
    from milepost.entities.reproduction import Reproduction
    from milepost.entities.serving import Feedback, Fidelity, Key, KeyRole, Trace, TraceFilter
    from milepost.entities.similar import SimilarFound, SimilarState
    from milepost.entities.suspect import Suspects
    from milepost.entities.task import Task
    from milepost.entities.together import Affinity
    from milepost.entities.trying import Trial
    from milepost.entities.upkeep_artifacts import Collection, Verification
    from milepost.entities.upstream import Upstream, UpstreamVersion
    from milepost.entities.upstream_check import UpstreamCheck
    from milepost.predictors.given import Given
    from milepost.reports import leaderboard, plain
    from milepost.reports.examination import behaved, sheet
    from milepost.reports.records import TaskRow
    from milepost.serving import asking as served
    from milepost.workflows import advising, listening, publishing
    from milepost.workflows.answering import answered, asking, evaluating, ranking
    from milepost.workflows.contest import improve, options
    from milepost.workflows.context import Context, Events
    from milepost.workflows.language import certifying, registry
    from milepost.workflows.language import checking as language_checking
    from milepost.workflows.language import spending as spending_
    from milepost.workflows.learning import forget as forgetting
    from milepost.workflows.learning import learn as learning
    from milepost.workflows.looking import looks as looking
    from milepost.workflows.migrating import migrate as migrating
    from milepost.workflows.prompts import versions as prompting
    from milepost.workflows.release import behave as behaving
    from milepost.workflows.release import cards, comparing_live, trying
    from milepost.workflows.release import channels as releasing
    from milepost.workflows.release import differences as comparing
    from milepost.workflows.release import examined as examining
    from milepost.workflows.release import lineage as tracing
    from milepost.workflows.release import reproduce as reproducing
    from milepost.workflows.release.cards import ModelCard
    from milepost.workflows.serving import feedback as feeding
    from milepost.workflows.serving import keys as keyring
    from milepost.workflows.serving import rechecking
    from milepost.workflows.serving import recording as recorded
    from milepost.workflows.serving.fidelity import Chosen
    from milepost.workflows.tasks import checking, ingest
    from milepost.workflows.tasks import suspects as suspecting
    from milepost.workflows.together import affinity as comparing_tasks
    from milepost.workflows.together import improving as joining
    from milepost.workflows.upkeep import audit as auditing
    from milepost.workflows.upkeep import backup as backing_up
    from milepost.workflows.upkeep import collect as collecting
    from milepost.workflows.upkeep import jobs
    from milepost.workflows.upkeep import migrate_store as storing
    from milepost.workflows.upkeep import restore as restoring
    from milepost.workflows.upkeep import verify as verifying
else:
    # A command imports what it needs, and not what all others need too.
    leaderboard = Later("milepost.reports.leaderboard")
    plain = Later("milepost.reports.plain")
    behaved = Later("milepost.reports.examination.behaved")
    sheet = Later("milepost.reports.examination.sheet")
    served = Later("milepost.serving.asking")
    listening = Later("milepost.workflows.listening")
    publishing = Later("milepost.workflows.publishing")
    answered = Later("milepost.workflows.answering.answered")
    asking = Later("milepost.workflows.answering.asking")
    evaluating = Later("milepost.workflows.answering.evaluating")
    ranking = Later("milepost.workflows.answering.ranking")
    improve = Later("milepost.workflows.contest.improve")
    options = Later("milepost.workflows.contest.options")
    certifying = Later("milepost.workflows.language.certifying")
    language_checking = Later("milepost.workflows.language.checking")
    registry = Later("milepost.workflows.language.registry")
    spending_ = Later("milepost.workflows.language.spending")
    forgetting = Later("milepost.workflows.learning.forget")
    learning = Later("milepost.workflows.learning.learn")
    looking = Later("milepost.workflows.looking.looks")
    advising = Later("milepost.workflows.advising")
    prompting = Later("milepost.workflows.prompts.versions")
    behaving = Later("milepost.workflows.release.behave")
    cards = Later("milepost.workflows.release.cards")
    comparing_live = Later("milepost.workflows.release.comparing_live")
    trying = Later("milepost.workflows.release.trying")
    releasing = Later("milepost.workflows.release.channels")
    comparing = Later("milepost.workflows.release.differences")
    examining = Later("milepost.workflows.release.examined")
    tracing = Later("milepost.workflows.release.lineage")
    reproducing = Later("milepost.workflows.release.reproduce")
    feeding = Later("milepost.workflows.serving.feedback")
    keyring = Later("milepost.workflows.serving.keys")
    rechecking = Later("milepost.workflows.serving.rechecking")
    recorded = Later("milepost.workflows.serving.recording")
    checking = Later("milepost.workflows.tasks.checking")
    ingest = Later("milepost.workflows.tasks.ingest")
    suspecting = Later("milepost.workflows.tasks.suspects")
    auditing = Later("milepost.workflows.upkeep.audit")
    backing_up = Later("milepost.workflows.upkeep.backup")
    collecting = Later("milepost.workflows.upkeep.collect")
    jobs = Later("milepost.workflows.upkeep.jobs")
    comparing_tasks = Later("milepost.workflows.together.affinity")
    joining = Later("milepost.workflows.together.improving")
    migrating = Later("milepost.workflows.migrating.migrate")
    storing = Later("milepost.workflows.upkeep.migrate_store")
    restoring = Later("milepost.workflows.upkeep.restore")
    verifying = Later("milepost.workflows.upkeep.verify")


@dataclass(frozen=True, slots=True, eq=False)
class Improvement:
    """What an improvement came to; prints as a table and shows as HTML in a notebook.

    Attributes:
        contest: The record: candidates, scorecards, verdict, release.
        quality: What was found in the data.
        serves: On which variant of the encoder a server answers with the release, and why;
            ``None`` without one, or where there is nothing to choose.
    """

    contest: Contest
    quality: QualityReport
    serves: Chosen | None = None

    @property
    def leaderboard(self) -> leaderboard.Leaderboard:
        """The candidates as a table."""
        return leaderboard.Leaderboard(self.contest)

    def to_dict(self) -> dict[str, object]:
        """The stable JSON form."""
        return plain.improve_json([self.contest])

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
        self._taught: learning.Teacher | None = None

    @classmethod
    def create(cls, directory: str | Path, configuration: Configuration | None = None) -> Workspace:
        """Make a workspace in a new or empty folder, and open it.

        Raises:
            WorkspaceError: If the folder holds something already or cannot be written.
        """
        return cls(opening.create(Path(directory), configuration or Configuration()))

    @classmethod
    def open(cls, directory: str | Path | None = None) -> Workspace:
        """Open a workspace.

        Args:
            directory: Its folder; ``None`` takes ``MILEPOST_WORKSPACE``, else the nearest folder
                upwards that holds ``milepost.toml``.

        Raises:
            WorkspaceError: If there is none, or a newer milepost wrote it.
        """
        return cls(opening.open_context(Path(directory) if directory is not None else None))

    @classmethod
    def demo(cls, directory: str | Path) -> Workspace:
        """Make a workspace with the example inbox and its tasks.

        Raises:
            WorkspaceError: As :meth:`create`.
        """
        with opening.creating(Path(directory), Configuration()) as context:
            ingest.copy_demo(context.root)
        return cls(context)

    @classmethod
    def from_file(
        cls,
        directory: str | Path,
        source: object,
        *,
        task: str,
        text: str | None = None,
        label: str = "label",
        kind: str = "classify",
        pair: tuple[str, str] | None = None,
        image: str | None = None,
        encoder: str | None = None,
        objective: Objective | None = None,
    ) -> tuple[Workspace, Task, QualityReport]:
        """Make a workspace with one task from a labelled file or dataframe.

        Args:
            directory: A new or empty folder.
            source: A CSV, JSONL or Parquet file, ``"-"`` for standard input, or a dataframe.
            task: Name of the task.
            text: Column of the text; ``None`` for ``text``, and for none beside an image.
            label: Column of the label.
            kind: ``classify``, ``multilabel``, ``score`` or ``rank``.
            pair: Columns of both sides, instead of ``text``, for a task that matches pairs; of the
                query and a candidate for one that ranks.
            image: Column of images: paths from the folder of the file, or data URIs.
            encoder: Encoder of the task, such as a folder whose model reads images; ``None`` for
                the workspace's.
            objective: What "good enough" means; the default has no floor.

        Raises:
            InputError: If the file, a column, the name or the data cannot be used; nothing is
                written then.
            EncoderError: If the encoder is not there, or does not read the inputs; likewise.
            WorkspaceError: As :meth:`create`.
        """
        columns = ingest.Columns(
            text=text,
            label=label,
            pair=pair,
            kind=ingest.kind_named(kind),
            image=image,
            encoder=ingest.encoder_from(Path(directory), encoder),
        )
        plan = ingest.plan_workspace(source, task, columns, objective or Objective())
        with opening.creating(Path(directory), Configuration()) as context:
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

    def check(self, name: str | None = None) -> list[checking.Checked]:
        """Every problem of one task or of all; none is raised."""
        return checking.check(self._context, name)

    def suspects(self, name: str, *, top: int | None = None) -> Suspects:
        """Training rows ranked by how probably their label is wrong; nothing is changed.

        Raises:
            InputError: If the task file or its data cannot be used, or ``top`` is out of range.
        """
        return suspecting.suspects(self._context, name, suspecting.TOP if top is None else top)

    def write_suspects(self, found: Suspects, output: str | Path) -> Path:
        """Write suspects as CSV with an empty column for the corrected label."""
        return suspecting.write_suspects(found, Path(output))

    def improve(
        self,
        name: str,
        *,
        budget: float | None = None,
        seed: int = 0,
        strategies: Sequence[str] | None = None,
        with_feedback: bool = False,
        budget_usd: float | None = None,
        parameters: Mapping[str, Mapping[str, object]] | None = None,
        on_event: Events | None = None,
    ) -> Improvement:
        """Let strategies compete, judge them, and release what passes the gate.

        Args:
            name: Name of the task.
            budget: Wall seconds; with time given, strategies that train for minutes take part and
                the others search their parameters. ``None`` for no limit, and neither.
            seed: The same seed gives the same choice and quality columns.
            strategies: Names of those that compete; ``None`` for all.
            with_feedback: Whether to train also on what was said of answers; it judges nothing.
            budget_usd: What language models may cost, in USD; ``None`` asks none.
            parameters: Parameters of strategies, such as ``{"head_logistic": {"c": 3}}``; they come
                before those of the task file.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            InputError: If the task file, its data or a name cannot be used.
        """
        chosen = options.Options(
            budget=budget,
            seed=seed,
            strategies=strategies,
            with_feedback=with_feedback,
            budget_usd=budget_usd,
            parameters=parameters or {},
        )
        done = improve.improve(self._telling(on_event), name, chosen)
        return Improvement(done.contest, done.quality, done.serves)

    def improve_together(
        self,
        names: Sequence[str] | None = None,
        *,
        budget: float | None = None,
        seed: int = 0,
        strategies: Sequence[str] | None = None,
        with_feedback: bool = False,
        budget_usd: float | None = None,
        parameters: Mapping[str, Mapping[str, object]] | None = None,
        on_event: Events | None = None,
    ) -> joining.ImprovedTogether:
        """Tune the encoder on several tasks at once, and let each task's contest judge it.

        Args:
            names: Names of the tasks; ``None`` for all.
            budget: As for :meth:`improve`; the tuning may take that time for each task besides.
            seed: The same seed gives the same choice and quality columns.
            strategies: Names of those that compete beside ``multitask``; ``None`` for all.
            with_feedback: As for :meth:`improve`.
            budget_usd: As for :meth:`improve`.
            parameters: As for :meth:`improve`; those of ``multitask`` say how it is tuned.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            InputError: If fewer than two tasks can be tuned together, or an option is wrong.
        """
        chosen = options.Options(
            budget=budget,
            seed=seed,
            strategies=strategies,
            with_feedback=with_feedback,
            budget_usd=budget_usd,
            parameters=parameters or {},
        )
        wanted = self.task_names(names)
        return joining.improve_together(self._telling(on_event), wanted, chosen)

    def affinity(
        self,
        names: Sequence[str] | None = None,
        *,
        seed: int = 0,
        on_event: Events | None = None,
    ) -> Affinity:
        """Estimate which tasks help or harm which; nothing is trained or recorded.

        Args:
            names: Names of the tasks; ``None`` for all.
            seed: Of the draws.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            InputError: If fewer than two tasks can be compared.
        """
        return comparing_tasks.affinity(self._telling(on_event), self.task_names(names), seed)

    def draw_affinity(self, found: Affinity, output: str | Path) -> Path:
        """Draw which tasks help which as a ``.svg``, ``.png`` or ``.html`` file."""
        return publishing.write_affinity(found, Path(output))

    def learn(
        self,
        name: str,
        text: Given,
        label: str | Sequence[str] | float,
        *,
        reason: str = "taught by hand",
    ) -> Learned:
        """Teach a task one label; where its head can, answers follow it from now on.

        It is provisional: the release keeps its number and its scorecard, which was measured
        without it. The next contest trains on every label that was taught and judges on none.

        Args:
            name: Name of the task.
            text: The input; of a task with several a mapping from their names to texts. An image is
                a path, a data URI or bytes, and is kept in the workspace.
            label: The right label; labels where any number may hold, the number of a score.
            reason: Why, for the audit log.

        Raises:
            UnknownNameError: If there is no such task or label.
            InputError: If there is no text, or the task's own examples say otherwise of it.
        """
        return self._teacher.learn(name, text, label, reason)

    def forget(
        self,
        name: str,
        *,
        where: str | None = None,
        ids: Sequence[str] = (),
        reason: str,
        dry_run: bool = False,
    ) -> Forgotten:
        """Take examples out of a task's data, snapshots and heads, with an audit record.

        What answers and is no closed-form head answers as before until the next
        :meth:`improve`, whose release then takes its place if it passes the gate.

        Args:
            name: Name of the task.
            where: Which, as a predicate in SQL over the columns that slices use.
            ids: Which, by their ids.
            reason: Why; it is kept for good, so that it must not say what is to be forgotten.
            dry_run: Only say what would be done.

        Raises:
            UnknownNameError: If there is no such task.
            InputError: If nothing is named, nothing fits, or too little would be left.
        """
        return forgetting.forget(self._context, name, where, ids, reason=reason, dry_run=dry_run)

    def jobs(self, *, ended: bool = False) -> list[Job]:
        """Unfinished long work, newest first; with ``ended`` that of all time."""
        return list(jobs.jobs(self._context, ended=ended))

    def looks(self, name: str) -> Looks:
        """Every look at what a task is judged on, what it cost, and what the next one may spend.

        Raises:
            UnknownNameError: If there is no such task.
        """
        return looking.looks(self._context, name)

    def recheck(
        self,
        name: str,
        *,
        release: int | None = None,
        ask: Path | None = None,
        labels: Path | None = None,
    ) -> Recheck:
        """Hold what a cascade promised against answers that people checked since.

        Args:
            name: The task.
            release: Number of the release; ``None`` takes the one in production.
            ask: File to write the drawn answers to that nobody checked yet, as CSV.
            labels: That file with labels filled in; they are kept as feedback first.

        Raises:
            UnknownNameError: If there is no such task or release.
            InputError: If the release promises nothing, no answers are drawn, or a file cannot be
                used.
        """
        return rechecking.recheck(self._context, name, release, ask, labels)

    def advise(
        self, name: str, assumed: Assumptions | Mapping[str, object] | None = None
    ) -> Advice:
        """What a point of quality costs, and at what volume a specialist beats prompting.

        Args:
            name: Name of the task.
            assumed: What is taken for granted, such as ``{"usd_per_label": 0.2}``; ``None`` for
                the defaults of :class:`milepost.entities.advice.Assumptions`.

        Raises:
            UnknownNameError: If there is no such task.
            WorkspaceError: If it had no contest yet.
            InputError: If no candidate has numbers, or an assumption makes no sense.
        """
        return advising.advise(self._context, name, assumed)

    def prompts(self, name: str) -> list[PromptState]:
        """Versions of a task's prompt, oldest first, with aliases and what came of them.

        Raises:
            UnknownNameError: If there is no such task.
        """
        return list(prompting.prompts(self._context, name))

    def prompt(self, name: str, which: str | None = None) -> PromptState | PromptTemplate:
        """One prompt of a task: a number, an alias or ``built-in``.

        ``None`` gives what contests start from.

        Raises:
            UnknownNameError: If there is no such task, version or alias.
        """
        return prompting.prompt(self._context, name, which)

    def prompt_as_toml(self, name: str, which: str | None = None) -> str:
        """The same as a file that ``add_prompt`` reads."""
        return prompting.prompt_as_toml(self._context, name, which)

    def prompt_templates(self, name: str, *which: str) -> list[PromptTemplate]:
        """Templates of versions, aliases or ``built-in``, in the given order.

        Raises:
            UnknownNameError: If there is no such task, version or alias.
        """
        return [prompting.template_named(self._context, name, each) for each in which]

    def add_prompt(
        self, name: str, file: str | Path, *, parent: str | None = None, note: str = ""
    ) -> PromptVersion:
        """Keep the prompt of a file as a version, once it is known to work for the task.

        Raises:
            UnknownNameError: If there is no such task or parent.
            InputError: If the file or what it holds cannot be used.
        """
        return prompting.add_prompt(self._context, name, Path(file), parent=parent, note=note)

    def promote_prompt(
        self,
        name: str,
        which: str,
        *,
        alias: str = "production",
        reason: str = "promoted by hand",
    ) -> PromptAlias:
        """Point an alias at a version; contests start from ``production``.

        Raises:
            UnknownNameError: If there is no such task or version.
            InputError: If it points there already, or the task cannot use the prompt.
            ConflictError: If somebody moved the alias meanwhile.
        """
        return prompting.promote(self._context, name, which, alias=alias, reason=reason)

    def cancel_job(self, job: str, *, reason: str = "cancelled by hand") -> Job:
        """End an unfinished job for good; a process that works on it stops at its next step.

        Raises:
            UnknownNameError: If there is no such job.
            InputError: If it has ended already.
        """
        return jobs.cancel(self._context, job, reason)

    def create_key(
        self,
        role: KeyRole = "consumer",
        *,
        tasks: Sequence[str] = (),
        upstreams: Sequence[str] = (),
        name: str = "",
        expires_in: float | None = None,
        per_second: float | None = None,
        budget_usd: str | float | None = None,
        per: Period | None = None,
        reason: str = "made by hand",
    ) -> tuple[Key, str]:
        """Make a key to a server.

        Args:
            role: What its holder may do.
            tasks: Tasks that it may ask; empty for all.
            upstreams: Language models that it may ask itself; ``*`` for all, empty for none.
            name: For people.
            expires_in: Seconds for which it works; ``None`` for ever.
            per_second: Most inputs per second; ``None`` for no limit.
            budget_usd: Most that language models may cost that it asks, such as ``"5"``.
            per: When that begins anew; each month by default.
            reason: Why, for the audit log.

        Returns:
            Its record, and its secret, which is kept nowhere.

        Raises:
            UnknownNameError: If there is no such task, or language model.
            InputError: If a number or the name cannot be used.
        """
        wanted = keyring.NewKey(
            role=role,
            tasks=tuple(tasks),
            upstreams=tuple(upstreams),
            name=name,
            seconds=expires_in,
            per_second=per_second,
            budget_usd=budget_usd,
            per=per,
        )
        return keyring.create_key(self._context, wanted, reason)

    def keys(self) -> list[Key]:
        """All keys to a server, also revoked and expired ones, oldest first."""
        return list(keyring.keys(self._context))

    def revoke_key(self, key: str, *, reason: str = "revoked by hand") -> Key:
        """Let a key work no more, for good; running servers follow within a moment.

        Raises:
            UnknownNameError: If there is none of this id.
            InputError: If it was revoked before.
        """
        return keyring.revoke_key(self._context, key, reason)

    def add_upstream(
        self,
        wanted: registry.NewUpstream,
        *,
        reason: str = "added by hand",
        replace: bool = False,
    ) -> registry.Added:
        """Register a language model; nothing is called.

        Raises:
            InputError: If something of it cannot be used.
            ConflictError: If there is another of this name and ``replace`` is not set.
        """
        return registry.add_upstream(self._context, wanted, reason=reason, replace=replace)

    def upstreams(self) -> list[Upstream]:
        """All language models that can be asked, by name."""
        return list(self._context.ledger.upstreams())

    def upstream_versions(self, name: str) -> list[UpstreamVersion]:
        """Everything that was ever known of one, oldest first.

        Raises:
            UnknownNameError: If there never was one of this name.
        """
        return registry.versions(self._context, name)

    def check_upstream(self, name: str) -> UpstreamCheck:
        """Try one: whether it answers, what it can do, what a call costs.

        Raises:
            UnknownNameError: If there is none of this name.
        """
        return language_checking.check(self._context, name)

    def certify_similar(
        self, name: str, *, source: Path | None = None, budget_usd: float = 0.0
    ) -> SimilarFound:
        """Certify that a task's questions may be answered as similar ones were.

        Args:
            name: The task; its ``language.similar`` says what is promised.
            source: File of texts to ask about; ``None`` takes what it was asked lately, else its
                examples.
            budget_usd: The most to spend; what was asked before costs nothing.

        Raises:
            UnknownNameError: If there is no such task.
            InputError: If its release asks nobody, texts are too few, or it would cost more.
        """
        return certifying.certify_similar(self._context, name, source=source, budget_usd=budget_usd)

    def similar_answers(self, name: str | None = None) -> tuple[SimilarState, ...]:
        """What is certified for a task, or for all of them, and whether it still answers.

        Raises:
            UnknownNameError: If there is no such task.
        """
        return certifying.similar_states(self._context, name)

    def remove_upstream(self, name: str, *, reason: str = "removed by hand") -> UpstreamVersion:
        """Let one be asked no more.

        Raises:
            UnknownNameError: If there is none.
            InputError: If another one falls back on it.
        """
        return registry.remove_upstream(self._context, name, reason=reason)

    def set_budget(
        self,
        scope: str,
        usd: str | float,
        *,
        period: Period = "month",
        reason: str = "set by hand",
    ) -> Budget:
        """Allow so much in a scope: ``workspace``, ``task:NAME``, ``key:ID``, ``upstream:NAME``.

        Raises:
            InputError: If it is no scope or no amount, or there is no such thing.
        """
        return spending_.set_budget(self._context, scope, usd, period=period, reason=reason)

    def remove_budget(self, scope: str, *, reason: str = "removed by hand") -> None:
        """Let a scope be without a budget.

        Raises:
            UnknownNameError: If it has none.
        """
        spending_.remove_budget(self._context, scope, reason=reason)

    def budgets(self) -> list[Budget]:
        """All budgets, with what is spent, reserved and left."""
        return list(spending_.budgets(self._context))

    def spent(
        self,
        task: str | None = None,
        *,
        by: SpendBy = "upstream",
        since: date | None = None,
        until: date | None = None,
    ) -> spending_.Spent:
        """What language models cost in some days (UTC), this month's if none are named.

        Raises:
            UnknownNameError: If there is no such task.
        """
        return spending_.spent(self._context, task, by=by, since=since, until=until)

    def answer(
        self,
        name: str,
        inputs: object,
        *,
        release: int | None = None,
        candidate: str | None = None,
        cover: float | None = None,
    ) -> answered.Answered:
        """Answers with what answered them; see :meth:`predict`.

        With ``cover``, such as 0.9, also sets of labels that hold the right one so often.
        """
        which = answered.Which(release=release, candidate=candidate, cover=cover)
        return asking.answer_texts(self._context, name, inputs, which)

    def predict(
        self,
        name: str,
        inputs: object,
        *,
        release: int | None = None,
        candidate: str | None = None,
    ) -> Predictions:
        """Answer texts with what is in production, a numbered release, or a candidate.

        Args:
            name: Name of the task.
            inputs: Texts, such as a list of strings; a column of pandas, polars, pyarrow or NumPy;
                or a dataframe that has the task's input as a column.
            release: Number of the release that answers.
            candidate: Id of the candidate that answers.

        Returns:
            Labels and calibrated probabilities ``(n, k) float32``.

        Raises:
            WorkspaceError: If there is no release yet.
            UnknownNameError: If there is no such task, release or candidate.
        """
        return self.answer(name, inputs, release=release, candidate=candidate).predictions

    def rank(
        self,
        name: str,
        queries: Sequence[str],
        *,
        top: int | None = None,
        release: int | None = None,
        candidate: str | None = None,
        on_event: Events | None = None,
    ) -> Rankings:
        """Find what may answer each query, and order it.

        Args:
            name: Name of a task of the kind ``rank``.
            queries: What is asked.
            top: Most candidates for each query; ``None`` for 10.
            release: Number of the release that orders them.
            candidate: Id of the candidate of a contest that orders them.
            on_event: Told about progress.

        Raises:
            InputError: If the task does not rank, or a query is empty.
            WorkspaceError: If there is no release yet.
        """
        which = answered.Which(release=release, candidate=candidate)
        return ranking.rank_queries(self._telling(on_event), name, queries, which, top)

    def predict_file(
        self,
        name: str,
        source: object,
        *,
        release: int | None = None,
        candidate: str | None = None,
        where: str | None = None,
        cover: float | None = None,
        on_event: Events | None = None,
    ) -> answered.Answered:
        """Answer every row of a file or dataframe in memory; its columns are kept."""
        which = answered.Which(release=release, candidate=candidate, cover=cover)
        return asking.answer_table(self._telling(on_event), name, source, which, where)

    def predict_into(
        self,
        output: str | Path | BinaryIO,
        name: str,
        source: object,
        *,
        release: int | None = None,
        candidate: str | None = None,
        where: str | None = None,
        cover: float | None = None,
        on_event: Events | None = None,
    ) -> asking.Written:
        """Answer every row of a file of any length into another, in bounded memory.

        Args:
            output: .csv, .jsonl or .parquet, there whole or not at all; an open file gets CSV.
            name: Name of the task.
            source: CSV, JSONL or Parquet, ``-`` for standard input; or a dataframe.
            release: Number of the release that answers.
            candidate: Id of the candidate that answers.
            where: Answer only rows for which this holds, in SQL.
            cover: Also sets of labels that hold the right one so often.
            on_event: Called with (task, what is being done, share done in [0, 1]).
        """
        to = Path(output) if isinstance(output, str) else output
        told = self._telling(on_event)
        which = answered.Which(release=release, candidate=candidate, cover=cover)
        return asking.answer_into(told, name, source, to, which, where)

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
        which = answered.Which(release=release, candidate=candidate)
        return evaluating.evaluate(self._telling(on_event), name, data, which, where)

    def compare(
        self,
        name: str,
        first: int | str,
        second: int | str,
        *,
        on: object | None = None,
        top: int = 10,
        on_event: Events | None = None,
    ) -> Difference:
        """What the second of two candidates or releases does differently from the first.

        Args:
            name: Name of the task.
            first: A release (``3``), a channel (``production``), the name of a strategy of the
                last contest, or the id of a candidate.
            second: The same, of the one to judge.
            on: A labelled file or dataframe to ask both about; ``None`` takes the examples that
                their contests judged on, where both are honest.
            top: Examples kept of each kind, 0 to 1000.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            UnknownNameError: If nothing of the task is called that.
            InputError: If both are the same, or no example is honest for both.
        """
        told = self._telling(on_event)
        return comparing.compare(told, name, str(first), str(second), on=on, top=top)

    def write_comparison(self, found: Difference, output: str | Path) -> Path:
        """Write what :meth:`compare` found as one self-contained HTML page."""
        return comparing.write_difference(self._context, found, Path(output))

    def verify(
        self,
        target: str | None = None,
        *,
        everything: bool = False,
        on_event: Events | None = None,
    ) -> Verification:
        """Read every byte of releases and hold it against every record of them.

        Args:
            target: ``route``, ``route@production`` or ``route#3``; ``None`` takes all releases.
            everything: Also read every other artifact, and look for missing ones and orphans.
            on_event: Called with ("verify", what is being done, share done in [0, 1]).

        Raises:
            UnknownNameError: If there is no such task, channel or release.
        """
        return verifying.verify(self._telling(on_event), target, everything=everything)

    def reproduce(
        self,
        name: str,
        release: int,
        *,
        tolerance: float = 0.0,
        on_event: Events | None = None,
    ) -> Reproduction:
        """Recompute every number of a release from its digests, and compare; records nothing.

        Args:
            name: Name of the task.
            release: Number of the release.
            tolerance: Largest difference between two numbers that counts as the same.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            UnknownNameError: If there is no such task or release.
            InputError: If it cannot be recomputed; says what is missing.
        """
        return reproducing.reproduce(self._telling(on_event), name, release, tolerance)

    def collect(
        self,
        *,
        older_than: float | None = None,
        dry_run: bool = False,
        on_event: Events | None = None,
    ) -> Collection:
        """Delete stored bytes that no release, candidate, running job or backup needs.

        Args:
            older_than: Hours since they were last put; ``None`` takes ``garbage_hours``. What is
                younger than ten minutes, or than a job that runs, is kept all the same.
            dry_run: Only count.
            on_event: Called with ("artifacts", what is being done, share done in [0, 1]).

        Raises:
            StorageError: If what is needed cannot be read; nothing is deleted then.
        """
        told = self._telling(on_event)
        return collecting.collect(told, older_than=older_than, dry_run=dry_run)

    def contest(self, name: str) -> Contest:
        """The last contest of a task.

        Raises:
            WorkspaceError: If there was none.
        """
        return publishing.last_contest(self._context, name)

    def overview(self) -> list[TaskRow]:
        """A row per task: its last verdict and what runs."""
        return publishing.overview(self._context)

    def releases(self, name: str, limit: int | None = None) -> list[Release]:
        """Releases of a task, newest first; the newest ``limit`` of them where one is given."""
        return releasing.releases(self._context, name, limit)

    def fidelities(self, releases: Sequence[Release]) -> dict[int, Fidelity]:
        """How well releases agree on the fast encoder, by number; those that were checked."""
        return releasing.fidelities(self._context, releases)

    def channel(self, name: str, channel: str = "production") -> Channel | None:
        """Where a channel points, or ``None`` before the first release."""
        return releasing.channel(self._context, name, channel)

    def channels(self, name: str) -> list[Channel]:
        """All channels of a task, production first: what each points at, with its share."""
        return trying.channels(self._context, name)

    def canary(
        self,
        name: str,
        release: int | None,
        *,
        share: float | None = None,
        reason: str = "tried by hand",
    ) -> Channel:
        """Let a release answer a share of the traffic beside production; ``None`` ends it.

        Args:
            name: Name of the task.
            release: Number of the release; ``None`` switches the canary off.
            share: 0 to 1; ``None`` leaves it as it is, at first 0.1.
            reason: Why, for the audit log.

        Raises:
            UnknownNameError: If there is no such release.
            InputError: If it is in production, lacks approvals, or the share is none.
        """
        if release is None:
            return trying.stop_trying(self._context, name, "canary", reason)
        return trying.try_release(self._context, name, "canary", release, share, reason)

    def shadow(
        self,
        name: str,
        release: int | None,
        *,
        share: float | None = None,
        reason: str = "tried by hand",
    ) -> Channel:
        """Ask a release along with production, unheard; ``None`` ends it. As :meth:`canary`."""
        if release is None:
            return trying.stop_trying(self._context, name, "shadow", reason)
        return trying.try_release(self._context, name, "shadow", release, share, reason)

    def ab(self, name: str) -> Trial:
        """The canary against production on what users said; may be asked at any time.

        Raises:
            WorkspaceError: If nothing is in production.
        """
        return comparing_live.compare_live(self._context, name)

    def approvals(self, name: str, releases: Sequence[Release]) -> dict[int, ApprovalState]:
        """Who has approved those releases of a task, and how many must, by number."""
        return releasing.approvals(self._context, name, releases)

    def approve(
        self, name: str, release: int, *, reason: str, idempotency_key: str | None = None
    ) -> Approved:
        """Approve a release that somebody else made; the last approval puts it into production.

        Raises:
            UnknownNameError: If there is no such release.
            InputError: If the actor made it, or it lacks no approval.
        """
        return releasing.approve(self._context, name, release, reason, idempotency_key)

    def promote(
        self,
        name: str,
        release: int,
        *,
        reason: str = "promoted by hand",
        idempotency_key: str | None = None,
    ) -> Channel:
        """Point production at a release; asked again with the same key, say what came of it.

        Raises:
            UnknownNameError: If there is no such release.
            InputError: If it lacks approvals, or the key was used for another request.
            ConflictError: If somebody else moved the channel meanwhile.
        """
        return releasing.promote(self._context, name, release, reason, idempotency_key)

    def rollback(
        self, name: str, *, reason: str = "rolled back by hand", idempotency_key: str | None = None
    ) -> Channel:
        """Point production back at the release before; asked again, say what came of it.

        Raises:
            WorkspaceError: If there is none before.
            InputError: If the key was used for another request.
            ConflictError: If somebody else moved the channel meanwhile.
        """
        return releasing.rollback(self._context, name, reason, idempotency_key)

    def export(
        self,
        name: str,
        directory: str | Path,
        *,
        release: int | None = None,
        merge: bool = False,
    ) -> int:
        """Write a release with its encoder as a folder that answers anywhere; returns its number.

        Args:
            name: Name of the task.
            directory: Must not exist, or be empty.
            release: Its number; ``None`` for the one in production.
            merge: Whether an adapter of a tuned encoder is added to the encoder's weights, in
                fp32, rather than kept beside it as it was measured.

        Raises:
            InputError: If it is to be merged, and the release has not just one adapter.
            WorkspaceError: If there is no release, or the folder is not empty.
        """
        return releasing.export(self._context, name, Path(directory), release, merge=merge)

    def report(self, name: str | None, output: str | Path) -> Path:
        """Write one self-contained HTML page about a task, or about all when ``name`` is None."""
        return publishing.write_report(self._context, name, Path(output))

    def examine(
        self, name: str, *, release: int | None = None, candidate: str | None = None
    ) -> sheet.ExaminationSheet:
        """What a close examination found of what is in production, a release or a candidate.

        Before the first release it is that of the last contest's candidate. Prints itself; the
        records are in ``examined``.

        Raises:
            UnknownNameError: If there is no such task, release or candidate.
            WorkspaceError: If there was no contest yet.
        """
        return sheet.ExaminationSheet(examining.examined(self._context, name, release, candidate))

    def behave(
        self,
        name: str,
        *,
        release: int | None = None,
        candidate: str | None = None,
        file: str | None = None,
        by: str | None = None,
        at_least: float = 1.0,
    ) -> behaved.BehaviourSheet:
        """Run the declared tests of behaviour on what is in production, a release or a candidate.

        Prints itself; the record is in ``behaved``, and ``behaved.failed`` says whether any failed.

        Args:
            name: Name of the task.
            release: Number of a release instead of production's.
            candidate: Id of a candidate instead.
            file: Further cases that must be answered right.
            by: Column of that file by whose values its cases are reported.
            at_least: Share of its cases, or of each value's, that must pass.

        Raises:
            InputError: If there is nothing to run, or a test cannot be run.
            WorkspaceError: If there is no release yet.
        """
        more = behaving.More(file=file, by=by, at_least=at_least) if file is not None else None
        return behaved.BehaviourSheet(
            behaving.behave(self._context, name, release, candidate, more)
        )

    def write_examination(self, sheet: sheet.ExaminationSheet, output: str | Path) -> Path:
        """Write an examination as one self-contained HTML page with charts."""
        return publishing.write_examination(self._context, sheet.examined, Path(output))

    def charts(self, name: str | None, directory: str | Path) -> list[Path]:
        """Write the charts as PNG files into one folder per task."""
        return publishing.write_pictures(self._context, name, Path(directory))

    def audit(
        self, limit: int | None = None, *, subject: str | None = None, action: str | None = None
    ) -> list[AuditEntry]:
        """What was done, newest first; on one subject or of one kind where that is given."""
        return auditing.entries(self._context, limit, subject=subject, action=action)

    def verify_audit(
        self, checkpoints: str | Path | None = None, *, expect: str | None = None
    ) -> AuditReport:
        """Prove that the audit log is what was written, or find what was changed and where.

        Args:
            checkpoints: Folder or URL of its checkpoints; ``None`` takes ``milepost.toml``'s.
            expect: ``NUMBER:HASH`` of an entry, noted earlier.

        Raises:
            InputError: If ``expect`` or a key in ``signers`` cannot be read.
            StorageError: If the ledger, the checkpoints or the own key cannot be read.
        """
        return auditing.verify_audit(self._context, checkpoints, expect)

    def audit_lines(self, *, format: str = "jsonl", after: int = 0) -> Iterator[bytes]:  # noqa: A002
        """The audit log as lines of JSON, oldest first; ``jsonl`` or ``cloudevents``."""
        return auditing.export(self._context, format, after)

    def export_audit(
        self,
        output: str | Path,
        *,
        format: str = "jsonl",  # noqa: A002
        after: int = 0,
    ) -> int:
        """Write the audit log to a file, whole or not at all; returns how many entries it holds."""
        return auditing.export_file(self._context, format, after, Path(output))

    @staticmethod
    def public_key() -> str:
        """The public key that signs your checkpoints; makes a key where there is none."""
        return auditing.public_key()

    def traces(
        self,
        task: str | None = None,
        *,
        limit: int = 100,
        before: str | None = None,
        only: TraceFilter | None = None,
    ) -> list[Trace]:
        """Recorded answers, newest first.

        Args:
            task: Name of the task; ``None`` takes all.
            limit: The most to return.
            before: Only those older than the trace of this id.
            only: Which; ``None`` takes all.

        Raises:
            UnknownNameError: If there is no such task.
        """
        return recorded.traces(self._context, task, limit=limit, before=before, only=only)

    def trace(self, id: str) -> Trace:  # noqa: A002 - the record's own word
        """One recorded answer.

        Raises:
            UnknownNameError: If there is none of this id, or it has expired.
        """
        return recorded.trace(self._context, id)

    def feedback(
        self, task: str | None = None, *, trace: str | None = None, key: str | None = None
    ) -> list[Feedback]:
        """What was said of answers, newest first; of one task, trace or key where it is named.

        Raises:
            UnknownNameError: If there is no such task.
        """
        return feeding.said_of(self._context, task, trace=trace, key=key)

    def give_feedback(
        self,
        trace: str,
        *,
        label: str | None = None,
        rating: float | None = None,
        comment: str | None = None,
        text: str | None = None,
    ) -> tuple[Feedback, bool]:
        """Say what the right answer would have been, or how good it was.

        Args:
            trace: Id of the trace.
            label: The right label.
            rating: From 0 (useless) to 1 (right).
            comment: In words.
            text: The input, where the trace did not keep it.

        Returns:
            The record, and whether it is new: the same said again is kept once.

        Raises:
            UnknownNameError: If there is no such trace or label.
            InputError: If nothing was said, or the input is needed.
        """
        said = served.Said(trace=trace, label=label, rating=rating, comment=comment, text=text)
        return feeding.give(self._context, said)

    def lineage(self, subject: str) -> Lineage:
        """What something came from and what came of it.

        Args:
            subject: A channel (``route@production``), a release (``route#3``), a task for all its
                releases, a data file, six or more digits of a digest, contest or candidate, or
                the id of a recorded answer.

        Raises:
            UnknownNameError: If nothing is called that.
            InputError: If it fits several things.
        """
        return tracing.lineage(self._context, subject)

    def draw_lineage(self, lineage: Lineage, output: str | Path) -> Path:
        """Draw a lineage as a ``.svg``, ``.png`` or ``.html`` file."""
        return publishing.write_lineage(lineage, Path(output))

    def send_lineage(self, lineage: Lineage, address: str) -> int:
        """Send OpenLineage events of its contests to a file or over HTTP; returns how many.

        Raises:
            MilepostError: If the address cannot be used or reached.
        """
        return listening.send_lineage(self._context, lineage, address, Path.cwd())

    def card(self, subject: str, *, release: int | None = None) -> ModelCard:
        """The model card of a release, made from the ledger.

        Args:
            subject: A task, a channel (``route@production``) or a release (``route#3``).
            release: Number of the release; ``None`` takes what the subject names, else production.

        Raises:
            UnknownNameError: If there is no such task, channel or release.
            InputError: If what a person wrote into ``cards/<task>.md`` cannot be used.
        """
        return cards.card(self._context, subject, release)

    def backup(self, place: str | Path, *, on_event: Events | None = None) -> BackupMade:
        """Write a new backup under a folder while the workspace is in use.

        Args:
            place: A new or empty folder, or one with backups, outside the workspace.
            on_event: Called with ("backup", what is being done, share done in [0, 1]).

        Raises:
            WorkspaceError: If the folder lies in the workspace or holds something else.
            CorruptError: If an artifact that is needed is damaged.
        """
        return backing_up.backup(self._telling(on_event), str(place))

    @classmethod
    def backups(cls, place: str | Path) -> list[BackupManifest]:
        """The whole backups in a folder, oldest first."""
        return restoring.backups(str(place))

    @classmethod
    def check_backup(cls, place: str | Path, backup: str | None = None) -> Restored:
        """Verify every byte of a backup, of the newest by default; writes nothing.

        Raises:
            CorruptError: If anything of it is missing or not what it was.
        """
        return restoring.check_backup(str(place), backup)

    @classmethod
    def restore(
        cls,
        place: str | Path,
        directory: str | Path,
        *,
        backup: str | None = None,
        ledger: str | None = None,
    ) -> tuple[Workspace, Restored]:
        """Make a workspace from a backup, and open it.

        Args:
            place: Folder of backups.
            directory: A new or empty folder.
            backup: Name of the backup; ``None`` takes the newest.
            ledger: Address of an empty database; ``None`` makes a SQLite file in the folder.

        Raises:
            CorruptError: If the backup is damaged; nothing is written then.
            WorkspaceError: If the folder or the database holds something.
        """
        done = restoring.restore(str(place), Path(directory), backup=backup, ledger=ledger)
        return cls.open(directory), done

    def migrate(
        self,
        encoder: str,
        tasks: Sequence[str] | None = None,
        *,
        move: Move = "each",
        loss: float = 0.02,
        on_event: Events | None = None,
    ) -> Migration:
        """Move tasks to another encoder, with a verdict for each.

        Args:
            encoder: ``embedded``, a folder or a hub id.
            tasks: Names of tasks; ``None`` for all.
            move: ``each`` by its own verdict, ``all`` or none together, ``none`` only to see.
            loss: Largest loss of a task's metric that is accepted.
            on_event: Called with (task, what is being done, share done in [0, 1]).

        Raises:
            UnknownNameError: If there is no such task, encoder or way to move.
            InputError: If an option cannot be used.
            EncoderError: If the encoder is not there, or cannot be exported.
        """
        asked = migrating.MigrateOptions(encoder=encoder, tasks=tasks, move=move, loss=loss)
        found, self._context = migrating.migrate(self._telling(on_event), asked)
        return found

    def migrate_store(self, address: str, *, reason: str = "moved by hand") -> StoreMoved:
        """Move the ledger to an empty database, and open the workspace there.

        Args:
            address: ``postgresql://…`` or ``sqlite:///FILE``; ``${NAME}`` stands for an
                environment variable.
            reason: Why, for the audit log.

        Raises:
            InputError: If the address holds a password.
            WorkspaceError: If the database is not empty.
        """
        moved = storing.migrate_store(self._context, address, reason)
        self._context.ledger.close()
        self._context = opening.open_context(self.root)
        return moved

    @property
    def _teacher(self) -> learning.Teacher:
        if self._taught is None or self._taught.context is not self._context:
            self._taught = learning.Teacher(self._context)
        return self._taught

    def _telling(self, on_event: Callable[[str, str, float], None] | None) -> Context:
        return self._context if on_event is None else replace(self._context, on_event=on_event)
