"""What a server says of itself when it has started."""

import json

from milepost.entities.server import News, Served
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Document, Grid, Line, Part, Row, sentence

MOST_SHOWN = 20
"""Tasks in the table; a thousand would push all else off the screen."""


MOST_WHYS = 5
"""Tasks of which it is told why they serve on the reference."""


def started(news: News, place: str) -> Document:
    """Where a server listens, what it serves, and how to ask it.

    Args:
        news: What the server told.
        place: How commands name the workspace, such as ``-w desk``; empty where they find it.
    """
    heading = Line(
        (
            ("milepost serves at ", ""),
            (news.address, "accent"),
            (f" with {words.count(news.workers, 'worker')}.", ""),
        )
    )
    parts: list[Part] = [heading]
    if news.grpc is not None:
        parts.append(Line((("Open Inference Protocol over gRPC: ", ""), (news.grpc, "accent"))))
    if not news.tasks:
        parts += [
            BLANK,
            sentence("No task has a release in production yet; one is served once it has."),
            _code(f"milepost{_before(place)} improve"),
        ]
        return Document((*parts, BLANK, sentence("Ctrl-C stops it.", "dim")))
    parts += [BLANK, _tasks(news.tasks[:MOST_SHOWN])]
    slow = [task for task in news.tasks if task.variant == "fp32"]
    parts += [sentence(f"{task.name} on fp32: {task.why}.", "dim") for task in slow[:MOST_WHYS]]
    if len(slow) > MOST_WHYS:
        left = words.count(len(slow) - MOST_WHYS, "more task")
        parts.append(sentence(f"and {left} on fp32: GET /v1/tasks says why.", "dim"))
    if len(news.tasks) > MOST_SHOWN:
        left = words.count(len(news.tasks) - MOST_SHOWN, "more task")
        parts.append(sentence(f"and {left}: GET /v1/tasks lists all.", "dim"))
    kept = [task for task in news.tasks if task.kept_days]
    if kept:
        parts.append(_kept([task.name for task in kept], len(news.tasks), max(kept, key=_days)))
    return Document((*parts, BLANK, *_how(news, place)))


def _days(task: Served) -> float:
    return task.kept_days


def _kept(names: list[str], of: int, longest: Served) -> Line:
    """What stays of the inputs: not everybody who serves a task wants that."""
    whose = "" if len(names) == of else f" of {', '.join(names[:MOST_WHYS])}"
    more = f" and {len(names) - MOST_WHYS} more" if whose and len(names) > MOST_WHYS else ""
    days = f"up to {longest.kept_days:g} days" if len(names) > 1 else f"{longest.kept_days:g} days"
    return sentence(
        f"Inputs{whose}{more} are kept in clear text for {days}; "
        "`recording` in a task file says otherwise.",
        "dim",
    )


def _tasks(tasks: tuple[Served, ...]) -> Grid:
    columns = (
        Column("", width=1),
        Column("task", wraps=True),
        Column("release", "right"),
        Column("encoder"),
        Column("beside it", wraps=True),
    )
    return Grid(columns, tuple(_row(task) for task in tasks))


def _row(task: Served) -> Row:
    beside = [
        f"canary {task.canary} at {100 * task.share:g} %" if task.canary is not None else "",
        f"shadow {task.shadow}" if task.shadow is not None else "",
    ]
    return Row(
        (
            Cell("✔", "good"),
            Cell(task.name, "strong"),
            Cell(str(task.release)),
            Cell(task.variant or "–", "" if task.variant else "dim"),
            Cell(", ".join(filter(None, beside)) or "–", "" if any(beside) else "dim"),
        )
    )


def _how(news: News, place: str) -> list[Part]:
    """Commands to paste, which are not wrapped."""
    task, fields = news.tasks[0].name, news.tasks[0].fields
    curl = f"curl -s {news.address}/v1/tasks/{task}/predict \\"
    example = dict.fromkeys(fields, "…") if fields else "my card was stolen"
    asked_for = json.dumps({"inputs": [example]}, ensure_ascii=False, separators=(",", ":"))
    # Names of inputs are letters, digits, dashes and underscores: a shell leaves them alone.
    body = f"-d '{asked_for}'"
    if news.insecure:
        asked = [
            sentence("Whoever can reach it may ask: it was started with --insecure.", "warn"),
            sentence("Ask:"),
            _code(curl),
            _code(f"  {body}"),
        ]
    else:
        asked = [
            sentence("Make a key, and ask:"),
            _code(f"KEY=$(milepost{_before(place)} keys create --task {task})"),
            _code(curl),
            _code(f'  -H "Authorization: Bearer $KEY" {body}'),
        ]
    pages = f"{news.address}/docs shows everything else; Ctrl-C stops it."
    return [*asked, BLANK, sentence(pages, "dim")]


def _code(text: str) -> Line:
    """A line to paste: without an indent of the document, which pads lines to their end."""
    return Line(((f"  {text}", "code"),))


def _before(place: str) -> str:
    return f" {place}" if place else ""
