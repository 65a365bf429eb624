"""Two releases side by side, in words: what each got, what that says, and how much is missing."""

from milepost.entities.trying import Agreement, Arm, Trial
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Row,
    sentence,
)

_FEW = 10


def trial_document(trial: Trial) -> Document:
    """A canary held against production, and the shadow."""
    parts: list[Part] = []
    if trial.canary is None or trial.since is None:
        parts.append(sentence(f"No canary runs beside {trial.task}@production."))
        parts.append(sentence(f"Begin one: milepost canary {trial.task} RELEASE", "dim"))
    else:
        if trial.until is not None:
            ended = f"No canary runs beside {trial.task}@production; the last one ended "
            parts += [sentence(f"{ended}{trial.until:%Y-%m-%d %H:%M} UTC:"), BLANK]
        since = f"{trial.since:%Y-%m-%d %H:%M}"
        said = f"{trial.task}: release {trial.canary.release} (canary, "
        said += f"{100 * trial.share:g} % of the traffic) beside release "
        parts.append(sentence(f"{said}{trial.production.release}, since {since} UTC"))
        parts += [BLANK, _arms(trial.canary, trial.production), BLANK, *_said(trial, trial.canary)]
    if trial.shadow is not None:
        parts += [BLANK, *_shadow(trial.shadow)]
    return Document(tuple(parts))


def _arms(canary: Arm, production: Arm) -> Grid:
    columns = (
        Column("channel"),
        Column("release", "right"),
        Column("judged", "right"),
        Column("good", "right"),
        Column("good in blocks", "right"),
    )
    rows = tuple(
        Row(
            (
                Cell(arm.channel),
                Cell(str(arm.release)),
                Cell(f"{arm.n:,}"),
                Cell(_share(arm.mean)),
                Cell(_share(arm.paired)),
            )
        )
        for arm in (canary, production)
    )
    return Grid(columns, rows)


def _share(mean: float | None) -> str:
    return "–" if mean is None else f"{100 * mean:.1f} %"


def _said(trial: Trial, canary: Arm) -> list[Part]:
    if trial.difference is None:
        lacking = [arm.channel for arm in (canary, trial.production) if not arm.n]
        return [
            sentence(f"Nobody has judged an answer of {' or '.join(lacking)} yet.", "warn"),
            sentence("Feedback comes by POST /v1/feedback or `milepost feedback`.", "dim"),
        ]
    sure = f"{100 * trial.confidence:g} %"
    parts: list[Part] = [
        sentence(
            f"Difference {_points(trial.difference)} points "
            f"[{_points(trial.low)}, {_points(trial.high)}], canary minus production in blocks: "
            f"with {sure} confidence at every look so far and to come."
        ),
        _verdict(trial, canary),
        sentence(
            f"{words.count(trial.blocks, 'block')}, each as short as it can be with a judgement of "
            "both, so that what changes for both alike with time does not count.",
            "dim",
        ),
    ]
    if trial.repeated:
        said = words.count(trial.repeated, "further judgement")
        parts.append(sentence(f"{said} of the same answers or subjects left out.", "dim"))
    return parts


def _verdict(trial: Trial, canary: Arm) -> Line:
    task = trial.task
    if trial.until is not None:
        return _ended(trial)
    if trial.decided == "canary":
        said = f"Decided: the canary is better. Next: milepost promote {task} {canary.release}"
        return Line(((said, ""),), mark=("✔", "good"))
    if trial.decided == "production":
        said = f"Decided: the canary is worse. Next: milepost canary {task} --off"
        return Line(((said, ""),), mark=("✘", "bad"))
    if trial.more is not None:
        said = f"Open. About {_round(trial.more)} further judgements would decide it, if they are "
        said += "like those so far."
    elif trial.blocks < _FEW:
        said = "Open. There are too few judgements to say how many more are needed."
    else:
        said = "Open. So small a difference needs more judgements than can be foreseen."
    return Line(((said, ""),), mark=("?", "warn"))


def _ended(trial: Trial) -> Line:
    if trial.decided is None:
        return Line((("It ended undecided.", ""),), mark=("?", "warn"))
    better = trial.decided == "canary"
    said = f"The canary was {'better' if better else 'worse'}."
    return Line(((said, ""),), mark=("✔", "good") if better else ("✘", "bad"))


def _shadow(shadow: Agreement) -> list[Part]:
    if shadow.agree is None:
        said = f"Release {shadow.release} in the shadow has not been asked yet."
        return [sentence(said)]
    agree = shadow.agree
    parts: list[Part] = [
        sentence(
            f"Release {shadow.release} in the shadow would have answered as production did in "
            f"{100 * agree.value:.1f} % [{100 * agree.low:.1f}, {100 * agree.high:.1f}] of "
            f"{words.count(agree.n, 'answer')}."
        )
    ]
    for was, would, count in shadow.differ:
        shown = f"{_label(was)} → {_label(would)}: {count:,} times"
        parts.append(Line(((shown, ""),), mark=("·", "dim"), indent=2))
    return parts


def _label(label: str | None) -> str:
    return "(withheld)" if label is None else words.clean(label)


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _round(n: int) -> str:
    """A rough number with two digits."""
    size = 10 ** max(0, len(str(n)) - 2)
    return f"{-(-n // size) * size:,}"
