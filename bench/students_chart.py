"""Picture of ``bench.students``: accuracy against speed, a small chart per set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {
    "teacher": "#4c78a8",
    "int8": "#9ecae9",
    "student": "#e45756",
    "student_encoder": "#54a24b",
    "student_encoder fp32": "#b7dfb1",
    "student_encoder 2 layers": "#eeca3b",
}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """As SVG and PNG; a line joins those that nobody beats in both."""
    import altair as alt

    rows = [
        {
            "set": name,
            "system": label,
            "accuracy": 100 * each["accuracy"],
            "rate": each["rate"]["median"],
            "best": label in _unbeaten(part["systems"]),
        }
        for name, part in found.items()
        for label, each in part["systems"].items()
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("rate:Q", scale=alt.Scale(type="log"), title="texts/s, one thread"),
        y=alt.Y("accuracy:Q", scale=alt.Scale(zero=False), title="accuracy, %"),
    )
    points = base.mark_circle(size=70, opacity=1).encode(
        color=alt.Color(
            "system:N",
            scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
            legend=alt.Legend(title=None, orient="top", columns=3),
        )
    )
    line = base.mark_line(color="#bbbbbb").transform_filter("datum.best")
    chart = (
        alt.layer(line, points)
        .properties(width=190, height=130)
        .facet(facet=alt.Facet("set:N", title=None), columns=3)
        .resolve_scale(y="independent")
        .configure_axis(grid=True, gridColor="#eeeeee", domainColor="#888888")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)
    chart.save(path.with_suffix(".png"), scale_factor=2)


def _unbeaten(systems: Mapping[str, Any]) -> set[str]:
    """Those than whom nobody is both faster and better."""
    return {
        label
        for label, own in systems.items()
        if not any(
            each["rate"]["median"] > own["rate"]["median"] and each["accuracy"] > own["accuracy"]
            for each in systems.values()
        )
    }
