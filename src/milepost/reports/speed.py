"""How fast the variants of an encoder are on this machine, and which is worth serving on."""

from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Document, Grid, Line, Row, sentence
from milepost.reports.records import Speed, VariantSpeed

_SAME = 1e-5
_GAINED = 1.2
_BUSY = (
    "All cores together were hardly faster than one: something else is running here, or the cores "
    "are shared. Measure again when the machine is quiet."
)


def speed_table(speed: Speed) -> Document:
    """A row per variant: texts per second by length, one text, and how near to the reference."""
    tokens = sorted(speed.variants[0].texts_per_second)
    columns = (
        Column("", width=1),
        Column("variant"),
        *(Column(f"{each} tokens", "right") for each in tokens),
        Column("all cores", "right"),
        Column("one text", "right"),
        Column("cosine", "right"),
    )
    slow = speed.variants[0]
    heading = Line(
        (
            (f"{speed.encoder} on {speed.processor}", "strong"),
            (f", {words.count(speed.cores, 'core')}, {speed.instructions or 'unknown'}", ""),
        )
    )
    return Document(
        (
            heading,
            sentence("Texts per second on one core; on all cores with texts of 12 tokens.", "dim"),
            BLANK,
            Grid(columns, tuple(_row(row, slow, tokens, speed.choice) for row in speed.variants)),
            BLANK,
            sentence(f"Served on {speed.choice}: {speed.reason}"),
            sentence(_invariance(speed), "dim"),
            *((sentence(_BUSY, "warn"),) if _busy(speed, tokens[0]) else ()),
        )
    )


def _busy(speed: Speed, tokens: int) -> bool:
    """Whether all cores together did hardly more than one alone."""
    rows = speed.variants
    return speed.cores > 1 and any(
        row.all_cores < _GAINED * row.texts_per_second[tokens] for row in rows
    )


def _row(row: VariantSpeed, slow: VariantSpeed, tokens: list[int], choice: str) -> Row:
    def rate(each: int) -> Cell:
        gain = row.texts_per_second[each] / slow.texts_per_second[each]
        beside = "" if row is slow else f" ({gain:.1f}x)"
        return Cell(f"{row.texts_per_second[each]:,.0f}{beside}")

    chosen = row.variant == choice
    return Row(
        (
            Cell("✔" if chosen else "", "good"),
            Cell(row.variant, "strong" if chosen else ""),
            *(rate(each) for each in tokens),
            Cell(f"{row.all_cores:,.0f}"),
            Cell(f"{words.milliseconds(row.one_ms)} ms"),
            Cell("1" if row is slow else f"{row.similarity:.4f}", "dim" if row is slow else ""),
        )
    )


def _invariance(speed: Speed) -> str:
    worst = max(row.neighbours for row in speed.variants)
    if worst < _SAME:
        return (
            "The same text gives the same vector whatever it is batched with: the largest change "
            f"seen was {worst:.0e}."
            if worst
            else "The same text gave the same vector to the last bit whatever it was batched with."
        )
    return (
        f"A vector changed by {worst:.0e} when other texts stood beside it, more than the "
        f"{_SAME:.0e} that is promised: please report this with `milepost doctor --speed --json`."
    )
