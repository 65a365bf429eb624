"""An examination as a document: what was found, section by section, and what was not looked at."""

from collections.abc import Callable, Iterator

from milepost.entities.examination import Check
from milepost.reports import words
from milepost.reports.document import BLANK, Document, Line, Part, sentence
from milepost.reports.examination.changes import behaviour, robustness
from milepost.reports.examination.groups import groups
from milepost.reports.examination.knowing import knowing
from milepost.reports.examination.looks import looks
from milepost.reports.examination.outlook import forecast, privacy
from milepost.reports.examination.section import ORDER, Section, check_mark
from milepost.reports.examination.weakness import weakness
from milepost.reports.records import Examined

_SECTIONS: tuple[Callable[..., Section], ...] = (
    weakness,
    groups,
    robustness,
    behaviour,
    knowing,
    privacy,
    forecast,
    looks,
)


class ExaminationSheet(Document):
    """An examination; prints itself in terminals and notebooks.

    Args:
        examined: The candidate and its records.
    """

    __slots__ = ("examined",)

    examined: Examined

    def __init__(self, examined: Examined) -> None:
        parts: list[Part] = [*_head(examined), *_checks(examined)]
        shown = sections(examined, full=False)
        for section in shown:
            if not section.absent:
                parts += [BLANK, Line(((section.title, "accent"),)), *section.parts]
                parts += [Line(((each, ""),), mark=("→", "calm")) for each in section.advice]
        parts += _absent(examined, shown)
        super().__init__(tuple(parts))
        object.__setattr__(self, "examined", examined)


def sections(examined: Examined, *, full: bool) -> tuple[Section, ...]:
    """All sections in reading order; ``full`` where there is room for all that is known."""
    return tuple(section(examined, full=full) for section in _SECTIONS)


def what_it_is(examined: Examined) -> str:
    """Which candidate is shown, in words."""
    if examined.release is None:
        return "candidate of the last contest, not released"
    live = "in production" if examined.live else "not in production"
    return f"release {examined.release}, {live}"


def checks_in_order(examined: Examined) -> list[Check]:
    """What the task asks for, failures first, what is shown to hold last."""
    return sorted(examined.found.checks, key=lambda check: (ORDER[check.outcome], check.proven))


def _head(examined: Examined) -> Iterator[Line]:
    card = examined.scorecard
    regime = words.regime_words(card)
    metric = f"{words.metric_in_full(card)}: {words.measured(card.objective)}, {regime}"
    yield Line(((examined.task.name, "accent"), (f"  {what_it_is(examined)}", "")))
    yield sentence(metric)
    yield sentence(f"candidate {examined.candidate.id}", "dim")


def _checks(examined: Examined) -> Iterator[Part]:
    checks = checks_in_order(examined)
    if not checks:
        return
    yield BLANK
    yield Line((("What the task asks of it", "accent"),))
    for check in checks:
        yield Line(((check.sentence, ""),), mark=check_mark(check))


def absent(examined: Examined, shown: tuple[Section, ...]) -> list[tuple[str, str]]:
    """What was not examined, with the reason; notes of the examination have no title."""
    left_out = [(section.title, section.absent) for section in shown if section.absent]
    return [*left_out, *(("", note) for note in examined.found.notes)]


def _absent(examined: Examined, shown: tuple[Section, ...]) -> Iterator[Part]:
    if examined.scorecard.examination is None:
        yield BLANK
        again = f"It was judged without a closer look; run milepost improve {examined.task.name}."
        yield Line(((again, ""),), mark=("!", "warn"))
        return
    listed = absent(examined, shown)
    if listed:
        yield BLANK
        yield Line((("What was not examined, and what else to know", "accent"),))
    for title, why in listed:
        heading = f"{title}: " if title else ""
        yield Line(((heading, "strong"), (why, "")), mark=("·", "dim"))
