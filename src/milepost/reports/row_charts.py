"""Charts with one row per thing: slices, labels, confused pairs.

Rows are drawn on a plain pixel grid with their names as text, so that long names and any script
keep their room.
"""

from collections.abc import Sequence

from milepost.entities.estimate import Estimate
from milepost.entities.scorecard import Confusion, LabelScore, Scorecard, SliceScore
from milepost.reports import theme, words
from milepost.reports.axes import finish, fit, row_scale
from milepost.reports.dumbbell import Pair, dumbbell
from milepost.reports.forest import ForestPlot, ForestRow, Kind, Number
from milepost.reports.theme import Chart

SHOWN = 12
PAIRS_SHOWN = 10


def slices_chart(scorecard: Scorecard) -> Chart | None:
    """Slices as a forest plot against the whole; ``None`` when no slice has an estimate."""
    found = [(part, part.estimate) for part in scorecard.slices if part.estimate is not None]
    if not found:
        return None
    sign = -1 if scorecard.lower_is_better else 1
    found = sorted(found, key=lambda pair: sign * pair[1].value)
    shown, metric = found[:SHOWN], words.metric_name(scorecard.metric)
    whole = scorecard.objective
    rows = [ForestRow("all", (Number.of(whole, "all"),), f"n {whole.n:,}")]
    rows += [
        ForestRow(part.name, (Number.of(estimate, _slice_kind(part)),), f"n {estimate.n:,}")
        for part, estimate in shown
    ]
    more = f" The {len(shown)} worst of {len(found)}." if len(found) > len(shown) else ""
    worse = [words.clean(part.name) for part, _ in shown if _slice_kind(part) == "worse"]
    said = f" Shown to be worse than the rest: {', '.join(worse)}." if worse else ""
    plot = ForestPlot(
        rows=rows,
        title=f"{words.capital(metric)} by slice",
        subtitle=[f"Whiskers: intervals. Orange: shown to be worse.{more}"],
        axis=words.metric_in_full(scorecard),
        reference=whole.value,
        limits=words.metric_range(scorecard.metric),
    )
    return Chart("slices", plot.title, f"Forest plot. {plot.spoken()}.{said}", plot.spec())


def _slice_kind(part: SliceScore) -> Kind:
    return "worse" if part.gap_low is not None and part.gap_low > 0 else "plain"


def confusions_chart(confusions: Sequence[Confusion]) -> Chart | None:
    """The most confused pairs as bars; ``None`` when there is none."""
    shown = sorted(confusions, key=lambda pair: -pair.n)[:PAIRS_SHOWN]
    if not shown:
        return None
    import altair as alt

    room = (theme.WIDTH - 40) / 2
    most = max(pair.n for pair in shown)
    rows: list[dict[str, object]] = [
        {
            "row": i,
            "below": i + 0.27,
            "pair": f"{fit(pair.actual, room)} → {fit(pair.predicted, room)}",
            "start": 0,
            "n": pair.n,
            "shown": f"{pair.n:,}",
        }
        for i, pair in enumerate(shown)
    ]
    data = alt.Chart(alt.Data(values=rows))
    above, below = row_scale(len(rows)), row_scale(len(rows), "below")
    scale = alt.Scale(domain=[0, most], range=[0, theme.WIDTH - 50], nice=False)
    start, end = (alt.X(f"{name}:Q", axis=None, scale=scale) for name in ("start", "n"))
    title = "Most confused pairs"
    spec = finish(
        [
            data.mark_rule(strokeWidth=8, color=theme.WARM).encode(x=start, x2="n:Q", y=below),
            data.mark_text(align="left", dy=-5).encode(x=alt.value(0), y=above, text="pair:N"),
            data.mark_text(align="left", dx=7, color=theme.MUTED, fontSize=theme.SMALL_SIZE).encode(
                x=end, y=below, text="shown:N"
            ),
        ],
        height=36 * len(rows),
        title=title,
        subtitle=["Actual label → predicted label, and how often"],
    )
    said = "; ".join(
        f"{words.clean(p.actual)} taken for {words.clean(p.predicted)}, {p.n} times" for p in shown
    )
    return Chart("confused-pairs", title, f"Bar chart. {said}.", spec)


def labels_chart(scores: Sequence[LabelScore]) -> Chart | None:
    """Recall and precision of the worst labels; ``None`` when no label could be measured."""
    measured = [s for s in scores if s.n and s.recall is not None]
    if not measured:
        return None
    worst = sorted(measured, key=lambda s: (s.f1 if s.f1 is not None else 0.0, s.label))[:SHOWN]
    title = "Labels" if len(worst) == len(measured) else "Weakest labels"
    subtitle = "" if len(worst) == len(measured) else f", {len(worst)} of {len(measured):,}"
    said = "; ".join(
        f"{words.clean(s.label)}: recall {_two(s.recall)}, precision {_two(s.precision)}"
        for s in worst
    )
    return Chart(
        "labels",
        title,
        f"Dot plot, worst first. {said}.",
        _dots(worst, title, f"Recall (filled) and precision (open) per label{subtitle}"),
    )


def _two(estimate: Estimate | None) -> str:
    return "unknown" if estimate is None else f"{estimate.value:.2f}"


def _dots(scores: Sequence[LabelScore], title: str, subtitle: str) -> dict[str, object]:
    pairs = [
        Pair(
            name=s.label,
            hollow=s.precision.value if s.precision else None,
            filled=s.recall.value if s.recall else None,
            n=s.n,
        )
        for s in scores
    ]
    return dumbbell(pairs, "recall, precision", title, subtitle)
