"""Suspected wrong labels in a terminal."""

from rich.console import Group, RenderableType
from rich.text import Text

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
        parts.append(Text(f"     {each.text[:150]!r}", style="bold"))
        parts += [Text(f"     • {reason}") for reason in each.reasons]
    if found.removal:
        parts.append(Text())
        parts.append(
            Text(
                f"Without the {found.removed:,} rows of groups with such a label in training, the "
                f"closed-form head's {found.metric.replace('_', ' ')} goes"
            )
        )
        parts += [Text(f"  • {_effect(each)}") for each in found.removal]
    parts.append(Text())
    parts += [Text(note, style="dim") for note in found.notes]
    return Group(*parts)


def _effect(each: Removal) -> str:
    return (
        f"on {_judged(each)} from {each.before:.3f} to {each.after:.3f} "
        f"({each.difference:+.3f}, {each.low:+.3f} to {each.high:+.3f})."
    )


def _judged(each: Removal) -> str:
    if each.judged == "all rows":
        return f"all {each.n:,} rows"
    return f"the {each.n:,} {each.judged}"
