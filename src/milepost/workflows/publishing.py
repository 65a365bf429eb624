"""From the ledger to what people look at: overviews, pages and pictures."""

from pathlib import Path

from milepost.data.read import read_task as read_data
from milepost.entities.contest import Contest
from milepost.entities.errors import InputError, MilepostError, TaskFileError, WorkspaceError
from milepost.entities.example import QualityReport
from milepost.entities.lineage import Lineage
from milepost.entities.together import Affinity
from milepost.reports.records import Examined, ReportSubject, TaskRow
from milepost.storage.records.releases import PRODUCTION
from milepost.workflows.context import Context
from milepost.workflows.tasks.current import current_task
from milepost.workflows.tasks.files import task_names, write_whole

_RELEASES_SHOWN = 20
"""Newest releases that a page lists."""


def last_contest(context: Context, name: str) -> Contest:
    """The last contest of a task.

    Raises:
        UnknownNameError: If there is no such task.
        WorkspaceError: If it had no contest yet.
    """
    current_task(context, name)
    contest = context.ledger.latest_contest(name)
    if contest is None:
        raise WorkspaceError(
            f"the task {name!r} has had no contest yet.", advice=f"Run `milepost improve {name}`."
        )
    return contest


def overview(context: Context) -> list[TaskRow]:
    """A row per task, sorted by name: its last verdict and what runs.

    Raises:
        TaskFileError: With the problems of all task files that are not valid.
    """
    broken: list[TaskFileError] = []
    rows: list[TaskRow] = []
    for name in task_names(context.root):
        try:
            rows.append(_row(context, name))
        except TaskFileError as error:
            broken.append(error)
    if broken:
        raise TaskFileError([problem for error in broken for problem in error.problems])
    return rows


def _row(context: Context, name: str) -> TaskRow:
    task = current_task(context, name)
    contest = context.ledger.latest_contest(name)
    channel = context.ledger.channel(name, PRODUCTION)
    production = channel.release if channel else None
    metric = task.objective.metric
    if contest is None:
        return TaskRow(task=name, labels=len(task.labels), metric=metric, production=production)
    chosen = contest.chosen
    card = chosen.scorecard if chosen else None
    quality = context.ledger.dataset(contest.examples).quality
    return TaskRow(
        task=name,
        labels=len(task.labels) or len(quality.label_counts),
        examples=quality.labelled,
        verdict=contest.decision.verdict,
        strategy=chosen.strategy if chosen else None,
        metric=card.metric if card else metric,
        estimate=card.objective if card else None,
        production=production,
        cost_per_1k_usd=card.latency.cost_per_1k_usd if card and card.latency else None,
        p50_ms=card.latency.p50_ms if card and card.latency else None,
    )


def write_report(context: Context, name: str | None, output: Path) -> Path:
    """Write one self-contained HTML page about a task, or about all when ``name`` is ``None``.

    Raises:
        UnknownNameError: If there is no such task.
        WorkspaceError: If the place cannot be written.
    """
    from milepost.reports.page import render_report

    subjects = _subjects(context, name)
    title = name or context.root.resolve().name
    page = render_report(subjects, title, context.clock())
    write_whole(output, _pictured(context, page).encode())
    return output


def write_pictures(context: Context, name: str | None, directory: Path) -> list[Path]:
    """Write the charts as PNG files, one folder per task.

    Raises:
        UnknownNameError: If there is no such task.
        WorkspaceError: If the place cannot be written.
    """
    from milepost.reports.charts import write_charts

    written: list[Path] = []
    for subject in _subjects(context, name):
        written += write_charts(subject, directory / subject.task.name)
    return written


def write_examination(context: Context, examined: Examined, output: Path) -> Path:
    """Write one self-contained HTML page about an examination.

    Raises:
        WorkspaceError: If the place cannot be written.
    """
    from milepost.reports.page import render_examination

    page = render_examination(examined, context.clock())
    write_whole(output, _pictured(context, page).encode())
    return output


def _pictured(context: Context, page: str) -> str:
    """The page with small pictures of the images that it names and the workspace keeps."""
    from milepost.models.images.picture import thumbnail
    from milepost.reports.thumbnails import with_thumbnails

    def small(digits: str) -> str | None:
        text = context.images.beginning(digits)
        try:
            return None if text is None else thumbnail(context.images.bytes_of(text))
        except MilepostError:
            return None  # its name is on the page all the same

    return with_thumbnails(page, small)


def write_lineage(lineage: Lineage, output: Path) -> Path:
    """Draw a lineage; the ending of the file says how.

    Raises:
        InputError: If the ending is not ``.svg``, ``.png`` or ``.html``.
        WorkspaceError: If the place cannot be written.
    """
    from milepost.reports.lineage import picture

    if output.suffix == ".png":
        drawn = picture.lineage_png(lineage)
    elif output.suffix in (".svg", ".html"):
        draw = picture.lineage_svg if output.suffix == ".svg" else picture.lineage_html
        drawn = draw(lineage).encode()
    else:
        raise _unknown_ending(output)
    write_whole(output, drawn)
    return output


def write_affinity(found: Affinity, output: Path) -> Path:
    """Draw which tasks help which; the ending of the file says how.

    Raises:
        InputError: If the ending is not ``.svg``, ``.png`` or ``.html``.
        WorkspaceError: If the place cannot be written.
    """
    from milepost.reports.together.affinity import affinity_chart, affinity_page

    if output.suffix == ".png":
        drawn = affinity_chart(found).png()
    elif output.suffix == ".svg":
        drawn = affinity_chart(found).svg().encode()
    elif output.suffix == ".html":
        drawn = affinity_page(found).encode()
    else:
        raise _unknown_ending(output)
    write_whole(output, drawn)
    return output


def _unknown_ending(output: Path) -> InputError:
    return InputError(
        f"the ending {output.suffix or 'of the file'!r} is not known.",
        where=str(output),
        advice="Name a .svg, .png or .html file.",
    )


def _subjects(context: Context, name: str | None) -> list[ReportSubject]:
    return [_subject(context, each) for each in ([name] if name else task_names(context.root))]


def _subject(context: Context, name: str) -> ReportSubject:
    task = current_task(context, name)
    contest = context.ledger.latest_contest(name)
    return ReportSubject(
        task=task,
        contest=contest,
        quality=_quality(context, name, contest, "examples"),
        test_quality=_quality(context, name, contest, "test"),
        releases=context.ledger.releases(name, _RELEASES_SHOWN),
        channel=context.ledger.channel(name, PRODUCTION),
    )


def _quality(
    context: Context, name: str, contest: Contest | None, role: str
) -> QualityReport | None:
    """As recorded with the last contest; before the first one, as the files are now."""
    if contest is not None:
        digest = contest.examples if role == "examples" else contest.holdout
        if role == "test" and contest.regime != "test_file":
            return None
        return context.ledger.dataset(digest).quality if digest else None
    try:
        data = read_data(current_task(context, name), context.settings, root=context.root)
    except InputError:
        return None
    reading = data.examples if role == "examples" else data.test
    return reading.quality if reading else None
