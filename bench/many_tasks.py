"""A hundred tasks over the same 10,000 texts: what each further task costs on one shared encoder.

The texts are those of clinc150. Each task groups its intents at random into 2 to 10 labels, called
``queue 1`` to ``queue 10`` everywhere. A task is timed in parts: `encoder_s` inside the encoder
itself, `lookup_s` reading vectors from the cache on disk, `fit_s` the closed-form head. Every
encoder call is counted. `cross_fit_s` is what a contest adds: out-of-fold predictions over five
folds and the temperature. One more task has label names of its own, so that these few, and nothing
else, are encoded.

Peer, in the same run: scikit-learn's logistic regression on the same vectors.

How to read it: `share_of_first` is the fit of the hundredth task over the whole first task, target
at most 0.02; `encoder_texts_last` has to be 0.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, Options, data_folder, scratch, summary

if TYPE_CHECKING:
    from milepost.models.encoder import Encoder

TARGET = 0.02
FOLDS = 5
COLOURS = {"encoder": "#4c78a8", "cache look-up": "#9d9d9d", "closed-form fit": "#e45756"}


class CountingEncoder:
    """An encoder that counts the texts it is asked for and the seconds it takes."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls, self.texts, self.seconds = 0, 0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def encode(self, texts: Sequence[str], progress: Any = None) -> NDArray[np.float32]:
        started = time.perf_counter()
        vectors = self._inner.encode(texts, progress)
        self.calls += 1
        self.texts += len(texts)
        self.seconds += time.perf_counter() - started
        return vectors


def run(options: Options) -> dict[str, object]:
    """A hundred tasks on 10,000 texts; ten on 1,000 when quick."""
    from milepost.models.cached import CachedEncoder
    from milepost.models.catalog import open_encoder
    from milepost.storage.files.vectors import FileVectorStore
    from milepost.workflows.opening import cache_folder

    count, size = (10, 1_000) if options.quick else (100, 10_000)
    texts, intents = _texts(size)
    counting = CountingEncoder(open_encoder("embedded", cache_folder()))
    rows: list[dict[str, float]] = []
    with scratch() as folder:
        encoder = CachedEncoder(cast("Encoder", counting), FileVectorStore(folder))
        for number in range(count):
            y, k = _grouping(intents, number)
            labels = tuple(f"queue {i + 1}" for i in range(k))
            rows.append(_task(encoder, counting, texts, y, labels))
        y, k = _grouping(intents, count)
        fresh = tuple(f"unheard-of label {'abcdefghij'[i]}" for i in range(k))
        own_names = _task(encoder, counting, texts, y, fresh)
        extra = _contest_and_peer(encoder, texts, intents, count)
    first, last = rows[0], rows[-1]
    total = first["encoder_s"] + first["lookup_s"] + first["fit_s"]
    later = [row["fit_s"] for row in rows[1:]]
    results = {
        "tasks": count,
        "texts": size,
        "first": first,
        "last": last,
        "first_total_s": total,
        "encoder_texts_last": last["encoder_texts"],
        "share_of_first": last["fit_s"] / total,
        "median_share_of_first": statistics.median(later) / total,
        "within_target": last["fit_s"] / total <= TARGET and last["encoder_texts"] == 0,
        "fit_s": summary(later),
        "lookup_s": summary([row["lookup_s"] for row in rows[1:]]),
        "with_own_label_names": own_names,
        **extra,
        "rows": rows,
    }
    print(
        f"first task {total:.2f} s (encoder {first['encoder_s']:.2f}); task {count}: encoder "
        f"{last['encoder_s']:.3f} s for {last['encoder_texts']:.0f} texts, look-up "
        f"{last['lookup_s']:.3f} s, fit {last['fit_s']:.3f} s = "
        f"{100 * last['fit_s'] / total:.2f} % of the first"
    )
    if not options.quick:
        draw(rows, RESULTS / "many_tasks.svg")
    return results


def _texts(size: int) -> tuple[list[str], NDArray[np.str_]]:
    """Distinct texts with their intents."""
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / "clinc150" / "train.parquet")
    pairs = dict(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
    order = np.random.default_rng(0).permutation(len(pairs))[:size]
    texts, intents = list(pairs), list(pairs.values())
    return [texts[i] for i in order], np.array([intents[i] for i in order])


def _grouping(intents: NDArray[np.str_], number: int) -> tuple[NDArray[np.int64], int]:
    """Labels of task ``number``: its intents dealt out to 2 to 10 groups."""
    rng = np.random.default_rng(number)
    k = 2 + number % 9
    names, index = np.unique(intents, return_inverse=True)
    return rng.permutation(np.arange(len(names)) % k)[index].astype(np.int64), k


def _problem(
    encoder: Any, texts: Sequence[str], y: NDArray[np.int64], labels: Sequence[str]
) -> Any:
    from milepost.strategy import Problem

    return Problem(
        labels=tuple(labels),
        descriptions=("",) * len(labels),
        instruction="Which queue should this message go to?",
        texts=tuple(texts),
        y=y,
        encoder=encoder,
    )


def _task(
    encoder: Any,
    counting: CountingEncoder,
    texts: Sequence[str],
    y: NDArray[np.int64],
    labels: Sequence[str],
) -> dict[str, float]:
    """One task as a contest sees it: vectors of texts and label names first, then the fit."""
    from milepost.contests.held import HeldVectors
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.strategies.problems import humanise

    calls, before, seconds = counting.calls, counting.texts, counting.seconds
    started = time.perf_counter()
    held = HeldVectors(encoder, [*texts, *map(humanise, labels)])
    looked_up = time.perf_counter() - started
    started = time.perf_counter()
    HeadClosedForm().fit(_problem(held, texts, y, labels))
    fit = time.perf_counter() - started
    spent = counting.seconds - seconds
    return {
        "labels": len(labels),
        "encoder_calls": counting.calls - calls,
        "encoder_texts": counting.texts - before,
        "encoder_s": spent,
        "lookup_s": looked_up - spent,
        "fit_s": fit,
    }


def _contest_and_peer(
    encoder: Any, texts: Sequence[str], intents: NDArray[np.str_], count: int
) -> dict[str, object]:
    """Cross-fitting of a few tasks, and logistic regression by hand on the same vectors."""
    from sklearn.linear_model import LogisticRegression

    from milepost.contests.held import HeldVectors
    from milepost.contests.runner import run
    from milepost.data.splitting.folding import fold_groups
    from milepost.strategies.head_closed_form import HeadClosedForm

    cross, fits, by_hand = [], [], []
    groups = [str(i) for i in range(len(texts))]
    held = HeldVectors(encoder, texts)
    vectors = held.encode(texts)
    for number in (0, count // 2, count - 1):
        y, k = _grouping(intents, number)
        problem = _problem(held, texts, y, [f"queue {i + 1}" for i in range(k)])
        started = time.perf_counter()
        entry = run(problem, fold_groups(groups, y, FOLDS), [HeadClosedForm()])[0]
        cross.append(time.perf_counter() - started)
        assert entry.error is None, entry.error
        started = time.perf_counter()
        HeadClosedForm().fit(problem)
        fits.append(time.perf_counter() - started)
        started = time.perf_counter()
        LogisticRegression(C=10.0, max_iter=1000).fit(vectors, y)
        by_hand.append(time.perf_counter() - started)
    return {
        "side_by_side": {
            "closed_form_fit_s": summary(fits),
            "closed_form_cross_fit_s": summary(cross),
            "sklearn_logistic_fit_s": summary(by_hand),
        }
    }


def draw(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Seconds of every task by part, on a logarithmic axis, as SVG and PNG."""
    import altair as alt

    parts = {"encoder_s": "encoder", "lookup_s": "cache look-up", "fit_s": "closed-form fit"}
    points = [
        {"task": number, "part": name, "seconds": row[key]}
        for number, row in enumerate(rows, start=1)
        for key, name in parts.items()
        if row[key] > 0
    ]
    colour = alt.Color(
        "part:N",
        title=None,
        sort=list(COLOURS),
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(orient="top", symbolOpacity=1),
    )
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_circle(size=42, opacity=0.85)
        .encode(
            x=alt.X("task:Q", title="Task", scale=alt.Scale(domain=[0, len(rows) + 1], nice=False)),
            y=alt.Y(
                "seconds:Q",
                title="Seconds (logarithmic)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(values=[0.001, 0.01, 0.1, 1, 10, 100], format="~g"),
            ),
            color=colour,
        )
        .properties(
            width=640,
            height=300,
            title=alt.Title(
                "The first task pays for the encoder, all others only for their head",
                subtitle="Closed-form heads of 2 to 10 labels on the same 10,000 texts; until task "
                "9 each brings one new label name to encode",
                anchor="start",
                offset=12,
            ),
        )
        .configure_view(stroke=None)
        .configure_axis(grid=True, gridColor="#eeeeee", domainColor="#888888")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)
    chart.save(path.with_suffix(".png"), scale_factor=2)
