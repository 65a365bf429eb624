"""Suspected wrong labels in a terminal."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from milepost.entities.images import is_image, named
from milepost.entities.suspect import Removal, Suspects


def suspects_document(found: Suspects) -> RenderableType:
    """The ranking with its reasons, then what leaving the suspects out would do."""
    parts: list[RenderableType] = [
        Text.assemble(
            (found.task, "bold"),
            f"  {found.rows:,} labelled training rows; another label is more probable than the "
            f"given one in {found.disagreeing:,} of them.",
        ),
        Text(),
    ]
    for place, each in enumerate(found.suspects, 1):
        parts.append(
            Text.assemble(
                f"{place:>3}. ",
                (each.label, "red"),
                f" {each.probability:.2f}  →  ",
                (each.suggested, "green"),
                f" {each.suggested_probability:.2f}   {each.source}",
            )
        )
        shown = named(each.text) if is_image(each.text) else repr(named(each.text)[:150])
        parts.append(Padding(Text(shown, style="bold"), (0, 0, 0, 5)))
        parts += [_bullet(reason, 5) for reason in each.reasons]
    if found.removal is not None:
        parts += [Text(), Text(_effect(found, found.removal))]
    parts.append(Text())
    parts += [Text(note, style="dim") for note in found.notes]
    return Group(*parts)


def _bullet(text: str, indent: int) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    row.add_row("•", Text(text))
    return Padding(row, (0, 0, 0, indent))


def _effect(found: Suspects, effect: Removal) -> str:
    return (
        f"Without the {found.removed:,} rows of groups with such a label in training, the "
        f"closed-form head's {found.metric.replace('_', ' ')} is expected to go from "
        f"{effect.before:.3f} to {effect.after:.3f} ({effect.difference:+.3f}, "
        f"{effect.low:+.3f} to {effect.high:+.3f})."
    )
