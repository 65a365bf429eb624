"""Picture of ``bench.first_to_last``: prompt beside specialist, and FrugalML's budgets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS, THEIRS, GREY = "#e45756", "#4c78a8", "#b5b5b5"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Tasks, budgets and routing in one picture, as SVG and PNG."""
    import altair as alt

    panels = [_tasks(alt, results["tasks"].values())]
    if results["apis"]:
        panels.append(_budgets(alt, results["apis"].values()))
    chart = (
        alt.vconcat(*panels, spacing=40)
        .resolve_scale(color="independent")
        .configure_view(stroke=None)
        .configure_axis(grid=True, gridColor="#eeeeee", domainColor="#888888")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)
    chart.save(path.with_suffix(".png"), scale_factor=1)


def _tasks(alt: Any, tasks: Any) -> Any:
    rows = [
        {
            "task": task["task"].replace("_", " "),
            "prompt": task["large_accuracy"],
            "specialist": task["specialist_accuracy"],
            "gain": task["specialist_accuracy"] - task["large_accuracy"],
            "said": f"{task['cheaper']:,.0f} times cheaper, "
            f"{task['fewer_large_calls']:.0%} fewer calls of {task['large'].split(' ')[0]}",
        }
        for task in tasks
    ]
    order = [row["task"] for row in sorted(rows, key=lambda row: -row["gain"])]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=200, grid=False))
    )
    scale = alt.Scale(domain=[0, 1.0])
    line = base.mark_rule(strokeWidth=3, color="#dddddd").encode(
        x=alt.X("prompt:Q", scale=scale, title="accuracy on the same rows"), x2="specialist:Q"
    )
    prompt = base.mark_point(filled=True, size=110, color=THEIRS, opacity=1).encode(x="prompt:Q")
    own = base.mark_point(filled=True, size=110, color=OURS, opacity=1).encode(x="specialist:Q")
    said = base.mark_text(align="left", dx=6, fontSize=11, color="#555555").encode(
        x=alt.datum(1.0), text="said:N"
    )
    return (line + prompt + own + said).properties(
        width=560,
        height=26 * len(rows),
        title=alt.TitleParams(
            "From the prompt of a large model (blue) to a specialist (red)",
            subtitle=[
                "Calls: with a cascade whose threshold was set on other rows. "
                "Prices are assumptions, see the results.",
            ],
            anchor="start",
        ),
    )


def _budgets(alt: Any, sets: Any) -> Any:
    charts: list[Any] = []
    for each in sets:
        rows = [
            {"budget": point["budget"], "accuracy": point[family]["accuracy"], "who": who}
            for point in each["curve"]
            for family, who in (
                ("frugalml", "FrugalML's policies"),
                ("ladder", "milepost's ladder"),
            )
        ]
        best = each["best_single"]
        scale = alt.Scale(zero=False)
        lines = (
            alt.Chart(alt.Data(values=rows))
            .mark_line(strokeWidth=2.5)
            .encode(
                x=alt.X("budget:Q", title="USD per 10,000 texts"),
                y=alt.Y("accuracy:Q", scale=scale, title="accuracy"),
                color=alt.Color(
                    "who:N",
                    title=None,
                    scale=alt.Scale(
                        domain=["milepost's ladder", "FrugalML's policies"], range=[OURS, THEIRS]
                    ),
                ),
            )
        )
        point = alt.Chart(
            alt.Data(
                values=[
                    {"x": best["usd_per_10k"], "y": best["accuracy"], "name": best["api"].title()}
                ]
            )
        )
        mark = point.mark_point(shape="diamond", filled=True, size=120, color="#333333").encode(
            x="x:Q", y="y:Q"
        )
        name = point.mark_text(dy=14, dx=-4, align="right", color="#333333").encode(
            x="x:Q", y="y:Q", text="name:N"
        )
        charts.append((lines + mark + name).properties(width=250, height=170, title=each["set"]))
    rows_of = [alt.hconcat(*charts[n : n + 2]) for n in range(0, len(charts), 2)]
    return alt.vconcat(*rows_of).properties(
        title=alt.TitleParams(
            "Accuracy at a budget, on FrugalML's own data",
            subtitle="Chosen on one half of the rows, measured on the other. "
            "Diamond: the best single API.",
            anchor="start",
        )
    )
