"""Pictures of ``bench.serving``: requests per second by system, and latency against load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = {
    "milepost": "milepost, 100 tasks",
    "milepost_fp32": "milepost, fp32",
    "infinity_int8": "Infinity, INT8",
    "infinity_torch": "Infinity, torch",
    "ray_throughput": "Ray Serve, HAProxy",
    "ray_default": "Ray Serve, defaults",
    "fastapi": "FastAPI + sentence-transformers",
    "mlflow": "MLflow model server",
}
OURS, OTHERS = "#e45756", "#b5b5b5"
COLOURS = {
    "milepost": OURS,
    "milepost_fp32": "#f2a3a2",
    "infinity_int8": "#4c78a8",
    "infinity_torch": "#9ecae9",
    "ray_throughput": "#54a24b",
    "ray_default": "#b7dfb1",
    "fastapi": "#8c6d31",
    "mlflow": "#b279a2",
}


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Both pictures in one, as SVG and PNG."""
    import altair as alt

    systems = {
        name: results["systems"][name]
        for name in NAMES
        if "closed_64" in results["systems"].get(name, {})
    }
    chart = (
        alt.vconcat(_bars(alt, systems), _latencies(alt, systems), spacing=36)
        .resolve_scale(color="independent")
        .configure_view(stroke=None)
        .configure_axis(grid=True, gridColor="#eeeeee", domainColor="#888888")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)
    chart.save(path.with_suffix(".png"), scale_factor=2)


def _bars(alt: Any, systems: Mapping[str, Any]) -> Any:
    rows = [
        {
            "system": NAMES[name],
            "rps": each["closed_64"]["rps"]["median"],
            "low": each["closed_64"]["rps"]["min"],
            "high": each["closed_64"]["rps"]["max"],
            "ours": name.startswith("milepost"),
        }
        for name, each in systems.items()
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y(
            "system:N",
            title=None,
            sort=[row["system"] for row in sorted(rows, key=lambda row: -row["rps"])],
            axis=alt.Axis(labelLimit=240, domain=False, ticks=False),
        )
    )
    bars = base.mark_bar(height=16).encode(
        x=alt.X("rps:Q", title="Requests per second, 64 connections"),
        color=alt.Color(
            "ours:N",
            legend=None,
            scale=alt.Scale(domain=[True, False], range=[OURS, OTHERS]),
        ),
    )
    spread = base.mark_rule(strokeWidth=2, color="#444444").encode(x="low:Q", x2="high:Q")
    numbers = base.mark_text(align="left", dx=6, color="#333333").encode(
        x="high:Q", text=alt.Text("rps:Q", format=",.0f")
    )
    return (bars + spread + numbers).properties(
        width=560,
        height=28 * len(rows),
        title=alt.Title(
            "One process for a hundred tasks beside servers of one model",
            subtitle="Two cores, texts of 12 tokens, none sent twice; lines: smallest to largest "
            "round",
            anchor="start",
            offset=10,
        ),
    )


def _latencies(alt: Any, systems: Mapping[str, Any]) -> Any:
    points = [
        {"system": NAMES[name], "rate": int(load[5:]), "quantile": quantile, "ms": found["median"]}
        for name, each in systems.items()
        for load, run in each.items()
        if load.startswith("open_")
        for quantile, found in (("p50", run["p50_ms"]), ("p99", run["p99_ms"]))
    ]
    known = [name for name in systems if any(p["system"] == NAMES[name] for p in points)]
    colour = alt.Color(
        "system:N",
        title=None,
        scale=alt.Scale(
            domain=[NAMES[name] for name in known], range=[COLOURS[name] for name in known]
        ),
        legend=alt.Legend(orient="top", labelLimit=240),
    )
    return (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=alt.OverlayMarkDef(size=46))
        .encode(
            x=alt.X(
                "rate:Q",
                title="Requests per second, at random moments (Poisson)",
                axis=alt.Axis(values=[500, 1000, 1500]),
                scale=alt.Scale(domain=[400, 1600]),
            ),
            y=alt.Y(
                "ms:Q",
                title="Latency in ms (logarithmic)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(values=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], format="~g"),
            ),
            color=colour,
            strokeDash=alt.StrokeDash(
                "quantile:N",
                title=None,
                scale=alt.Scale(domain=["p50", "p99"], range=[[1, 0], [5, 4]]),
                legend=None,
            ),
        )
        .properties(
            width=560,
            height=260,
            title=alt.Title(
                "Latency against load",
                subtitle="Solid: median, dashed: 99th percentile, from the moment a request was "
                "due; a line ends where the system could not keep up",
                anchor="start",
                offset=10,
            ),
        )
    )
