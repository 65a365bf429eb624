"""Prompts as tables and texts: versions with what came of them, one in full, two word by word."""

import difflib
import re
from collections.abc import Sequence

from milepost.entities.prompts import PromptResult, PromptState, PromptTemplate
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Role,
    Row,
    sentence,
)

FORMS = {"label": "the label", "letter": "a letter", "json": "JSON"}
"""How a prompt asks to be answered, in words."""

_TOKEN = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\s+|\w+|[^\w\s]")
_ALIKE = 0.5
_SHOWN = 5


def prompts_table(states: Sequence[PromptState], task: str) -> Document:
    """Versions, newest first, each with its best-known result: that of the newest contest."""
    if not states:
        return Document(
            (
                sentence("No prompt is kept yet: contests start from the built-in one."),
                sentence(
                    f"`milepost prompts add {task} FILE` keeps one of your own; contests keep "
                    "what they asked.",
                    "dim",
                ),
            )
        )
    columns = (
        Column("", "right"),
        Column("alias", wraps=True),
        Column("answer"),
        Column("shots", "right"),
        Column("from", wraps=True),
        Column("score"),
        Column("USD/1k", "right"),
        Column("asked by", wraps=True),
    )
    rows = tuple(_row(state) for state in reversed(states))
    metrics = {_first(state).metric for state in states if state.results}
    said = [f"Score: {', '.join(words.metric_name(m) for m in sorted(metrics))}, with interval."]
    if any(state.results and not _first(state).alone for state in states):
        said.append("A * marks a result that several prompts have together.")
    notes: list[Part] = [sentence(each, "dim") for each in said] if metrics else []
    return Document((Grid(columns, rows), *([BLANK, *notes] if notes else [])))


def prompt_page(state: PromptState | PromptTemplate) -> Document:
    """One prompt in full, and what came of it."""
    if isinstance(state, PromptTemplate):
        head: list[Part] = [
            sentence("The built-in prompt, for endpoints that tell no log-probabilities.", "dim")
        ]
        return Document((*head, BLANK, *_body(state)))
    version = state.version
    alias = f" ({', '.join(state.aliases)})" if state.aliases else ""
    head = [Line(((f"version {version.number}{alias}", "strong"),))]
    made = (
        f"{words.day(version.created)} by {words.clean(version.actor)}, {_origin(version.origin)}"
    )
    if version.parent is not None:
        made += f", made from version {version.parent}"
    head.append(sentence(made, "dim"))
    if version.note:
        head.append(sentence(version.note, "dim"))
    parts: list[Part] = [*head, BLANK, *_body(version.template)]
    if state.results:
        parts += [BLANK, _results(state.results)]
    return Document(tuple(parts))


def prompt_difference(first: PromptTemplate, second: PromptTemplate) -> Document:
    """What the second says that the first does not, and the other way round, word by word."""
    if first == second:
        return Document((sentence("The two are the same."),))
    parts: list[Part] = []
    for name in ("answer", "shots"):
        old, new = str(getattr(first, name)), str(getattr(second, name))
        if old != new:
            named: tuple[str, Role] = (f"{name}: ", "dim")
            parts.append(Line((named, *_changed(old, new))))
    for name in ("system", "user"):
        old, new = getattr(first, name), getattr(second, name)
        if old != new:
            parts += [*([BLANK] if parts else []), sentence(f"{name}:", "dim")]
            parts += _lines(old, new)
    return Document(tuple(parts))


def _row(state: PromptState) -> Row:
    version = state.version
    result = _first(state) if state.results else None
    star = "" if result is None or result.alone else "*"
    asked = "–"
    if result is not None:
        asked = result.strategy + (f", release {result.release}" if result.release else "")
    return Row(
        (
            Cell(str(version.number), "strong"),
            Cell(", ".join(state.aliases), "good"),
            Cell(version.template.answer),
            Cell(str(version.template.shots) if version.template.shots else "–"),
            Cell(_origin(version.origin).removeprefix("contest "), "dim"),
            Cell("–" if result is None else words.measured(result.score) + star),
            Cell("–" if result is None else words.usd(result.cost_per_1k_usd)),
            Cell(asked, "" if result is not None else "dim"),
        )
    )


def _first(state: PromptState) -> PromptResult:
    """The result to show: of the newest contest, and of this prompt alone if there is one."""
    newest = [r for r in state.results if r.contest == state.results[0].contest]
    return next((r for r in newest if r.alone), newest[0])


def _results(results: Sequence[PromptResult]) -> Grid:
    columns = (
        Column("contest"),
        Column("asked by", wraps=True),
        Column("upstream", wraps=True),
        Column("score"),
        Column("USD/1k", "right"),
        Column("release", "right"),
    )
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(words.digest(each.contest), "dim"),
                    Cell(each.strategy + ("" if each.alone else " *")),
                    Cell(each.upstream),
                    Cell(words.measured(each.score)),
                    Cell(words.usd(each.cost_per_1k_usd)),
                    Cell("–" if each.release is None else str(each.release)),
                )
            )
            for each in results[:_SHOWN]
        ),
    )


def _origin(origin: str) -> str:
    told = {"hand": "by hand", "milepost": "built in"}
    return told.get(origin) or f"contest {words.digest(origin, 9)}"


def _body(template: PromptTemplate) -> list[Part]:
    asked = f"answers with {FORMS[template.answer]}"
    if template.shots:
        asked += f", shows {words.count(template.shots, 'example')}"
    parts: list[Part] = [sentence(asked, "dim")]
    for name in ("system", "user"):
        text = getattr(template, name)
        if text:
            parts += [BLANK, sentence(f"{name}:", "dim")]
            parts += [sentence(line, "code", indent=2) for line in text.split("\n")]
    return parts


def _lines(old: str, new: str) -> list[Line]:
    """The new text line by line, with what changed: words within a line, or lines as a whole."""
    before, after = old.split("\n"), new.split("\n")
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    lines: list[Line] = []
    for act, i, j, k, m in matcher.get_opcodes():
        if act == "equal":
            lines += [sentence(text, "", indent=2) for text in after[k:m]]
        elif act == "replace" and j - i == m - k:
            for was, now in zip(before[i:j], after[k:m], strict=True):
                lines += _line(was, now)
        else:
            lines += [_whole(text, "-", "bad") for text in before[i:j]]
            lines += [_whole(text, "+", "good") for text in after[k:m]]
    return lines


def _line(old: str, new: str) -> list[Line]:
    """One line in place of another: its words, where most are the same, else both."""
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return [_whole(old, "-", "bad"), _whole(new, "+", "good")]
    pieces: list[tuple[str, Role]] = []
    for act, i, j, k, m in matcher.get_opcodes():
        if act == "equal":
            pieces.append(("".join(after[k:m]), ""))
        else:
            pieces += _changed("".join(before[i:j]), "".join(after[k:m]))
    return [Line(tuple(pieces), indent=2)]


def _whole(text: str, mark: str, role: Role) -> Line:
    return Line(((text, role),), mark=(mark, role))


def _changed(old: str, new: str) -> tuple[tuple[str, Role], ...]:
    """A change within a line: ``[-gone-]`` and ``{+new+}``."""
    gone: tuple[tuple[str, Role], ...] = ((f"[-{old}-]", "bad"),) if old else ()
    return (*gone, *(((f"{{+{new}+}}", "good"),) if new else ()))
