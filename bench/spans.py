"""Spans: taggers on the encoder's states of words and on words alone, beside a CRF.

The conditional random field beside them is CRFsuite, through sklearn-crfsuite in an environment of
its own, with the features and settings of its tutorial on names: the word, its endings, its case,
and the same of the words beside it. It is given the tokens of the data, which ours are not: they
read the text, in which tokens stand between spaces.

* ``ner_wnut17`` and ``ner_crossner_{ai,literature,music}``: the official train and test files.
* ``pii_presidio_synthetic``: ``synth_v2``, four fifths of the templates to train on.
* ``nlupp_slots``: trained on the first of the 20 official folds, tested on all others.

How to read it: micro-averaged F1 of spans in percent on the test rows, borders and label right; a
difference is paired, and its interval is a 95 % percentile bootstrap over documents. ``fit_s`` is
CPU time of one fit on one thread, the encoder included. ``--only SET ...`` takes only these. What
is measured is kept in ``bench/results/spans.parts``, so that a run that was broken off goes on.
"""

import json
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, Options, child, data_folder, scratch

PARTS = RESULTS / "spans.parts"
SETS = (
    "ner_crossner_ai", "ner_crossner_literature", "ner_crossner_music", "nlupp_slots",
    "pii_presidio_synthetic", "ner_wnut17",
)  # fmt: skip
OURS = ("gazetteer", "tagger_words", "tagger")
PEER = "crfsuite"
RESAMPLES = 2000

Row = tuple[str, list[tuple[int, int, str]]]
"""A text and its spans."""


def run(options: Options) -> dict[str, object]:
    """Every set, every way."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [name for name in SETS if not options.only or name in options.only]
    results: dict[str, Any] = {}
    for name in chosen[:1] if options.quick and not options.only else chosen:
        row = results[name] = _row(name, options)
        shown = "  ".join(f"{way} {each['f1']:.1f}" for way, each in row["ways"].items())
        print(f"{name:<26}{shown}", flush=True)
        for way, each in row["tagger_minus"].items():
            low, high = each["interval"]
            print(f"{'':<26}tagger less {way}: {each['points']:+.1f} ({low:+.1f} to {high:+.1f})")
    return {"sets": results}


def _row(name: str, options: Options) -> dict[str, Any]:
    counts: dict[str, NDArray[np.int64]] = {}
    ways: dict[str, Any] = {}
    gone: dict[str, str] = {}
    for way in (*OURS, PEER):
        part = _kept(name, way, options)
        if "unavailable" in part:
            gone[way] = part["unavailable"]
            continue
        counts[way] = np.array(part["counts"], np.int64)
        right, wanted, found = counts[way].sum(axis=0).tolist()
        ways[way] = {
            "f1": _f1(counts[way]),
            "precision": 100 * right / max(found, 1),
            "recall": 100 * right / wanted,
            "fit_s": part["fit_s"],
            "answer_ms": part.get("answer_ms"),
        }
    ours = counts["tagger"]
    return {
        "test": len(ours),
        "spans": int(ours[:, 1].sum()),
        "ways": ways,
        "unavailable": gone,
        "tagger_minus": {
            way: _difference(ours, each) for way, each in counts.items() if way != "tagger"
        },
    }


def _kept(name: str, way: str, options: Options) -> dict[str, Any]:
    """What was measured before, or is now; quick runs keep nothing."""
    file = PARTS / f"{name}-{way}.json"
    if file.is_file() and not options.quick:
        return json.loads(file.read_text())
    train, test = rows_of(name)
    if options.quick:
        train, test = train[:60], test[:60]
    found = (_peer if way == PEER else _own(way))(train, test)
    if not options.quick and "unavailable" not in found:
        PARTS.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    return found


def _own(way: str) -> Callable[[Sequence[Row], Sequence[Row]], dict[str, Any]]:
    def measure(train: Sequence[Row], test: Sequence[Row]) -> dict[str, Any]:
        from milepost.entities.kinds import truths
        from milepost.entities.prediction import Spans, linked
        from milepost.entities.spans import written_spans
        from milepost.models.catalog import EncoderOptions, open_encoder
        from milepost.predictors.reading import batch_for
        from milepost.strategies.registry import strategy_named
        from milepost.strategy import Problem
        from milepost.workflows.opening import cache_folder

        labels = tuple(sorted({label for _, spans in train for _, _, label in spans}))
        encoder = open_encoder("embedded", cache_folder(), EncoderOptions(threads=1))
        problem = Problem(
            labels=labels,
            descriptions=("",) * len(labels),
            instruction="",
            texts=tuple(text for text, _ in train),
            y=truths("extract", [written_spans(spans) for _, spans in train], labels),
            encoder=encoder,
            kind="extract",
        )
        begun = time.process_time()
        predictor = strategy_named(way).fit(problem)
        fitted = time.process_time() - begun
        texts = [text for text, _ in test]
        begun = time.process_time()
        numbers = predictor.logits(batch_for(predictor, texts, encoder))
        took = 1000 * (time.process_time() - begun) / len(texts)
        answers = Spans(labels, linked("spans", numbers)).answers
        return {
            "counts": _counts(test, [each or () for each in answers]),
            "fit_s": fitted,
            "answer_ms": took,
        }

    return measure


def _peer(train: Sequence[Row], test: Sequence[Row]) -> dict[str, Any]:
    from bench.load.environments import UnavailableError, python

    asked = {"train": [_tokens(*row) for row in train], "test": [_tokens(*row) for row in test]}
    with scratch() as folder:
        (folder / "asked.json").write_text(json.dumps(asked))
        try:
            interpreter = python("crfsuite")
        except UnavailableError as error:
            return {"unavailable": str(error)[-500:]}
        script = Path(__file__).with_name("spans_peers.py")
        answered = child([interpreter, script, folder / "asked.json"])
    given = json.loads(answered.out)
    spans = [
        [(tokens[a][0], tokens[b - 1][1], label) for a, b, label in _joined(tags)]
        for (_, tokens, _), tags in zip(asked["test"], given["tags"], strict=True)
    ]
    return {"counts": _counts(test, spans), "fit_s": given["fit_s"]}


def _tokens(text: str, spans: Sequence[tuple[int, int, str]]) -> Any:
    """Words between spaces, further parted where a span begins or ends, with their tags."""
    cuts = {at for begin, end, _ in spans for at in (begin, end)}
    places: list[tuple[int, int]] = []
    begin = 0
    for at in range(len(text) + 1):
        if at == len(text) or text[at].isspace() or at in cuts:
            if at > begin:
                places.append((begin, at))
            begin = at + 1 if at < len(text) and text[at].isspace() else at
    tags = ["O"] * len(places)
    for first, end, label in spans:
        inside = [at for at, (a, b) in enumerate(places) if a < end and b > first]
        for nth, at in enumerate(inside):
            tags[at] = f"{'I' if nth else 'B'}-{label}"
    return [text[a:b] for a, b in places], places, tags


def _joined(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Spans of tokens from BIO tags."""
    spans: list[tuple[int, int, str]] = []
    before = "O"
    for at, tag in enumerate(tags):
        if tag[:2] == "I-" and before[2:] == tag[2:]:
            spans[-1] = (spans[-1][0], at + 1, tag[2:])
        elif tag != "O":
            spans.append((at, at + 1, tag[2:]))
        before = tag
    return spans


def rows_of(name: str) -> tuple[list[Row], list[Row]]:
    """Training and test rows of a set."""
    import pyarrow.parquet as pq

    folder = data_folder() / name.replace("nlupp_slots", "nlupp")

    def read(part: str) -> list[Mapping[str, Any]]:
        return pq.read_table(folder / f"{part}.parquet").to_pylist()

    if name == "nlupp_slots":
        rows = [(row["fold"], (row["text"], _spans(row["slots"], "slot"))) for row in read("all")]
        return [row for fold, row in rows if fold == 0], [row for fold, row in rows if fold]
    if name == "pii_presidio_synthetic":
        parts: tuple[list[Row], list[Row]] = ([], [])
        for row in read("synth_v2"):
            side = zlib.crc32(row["template_id"].encode()) % 5 == 0
            parts[side].append((row["text"], _spans(row["spans"], "type")))
        return parts
    return [_bio(row) for row in read("train")], [_bio(row) for row in read("test")]


def _spans(written: str, label: str) -> list[tuple[int, int, str]]:
    return [(each["start"], each["end"], each[label]) for each in json.loads(written)]


def _bio(row: Mapping[str, Any]) -> Row:
    ends = np.cumsum([len(token) + 1 for token in row["tokens"]]) - 1
    begins = ends - [len(token) for token in row["tokens"]]
    spans = [(int(begins[a]), int(ends[b - 1]), label) for a, b, label in _joined(row["tags"])]
    return " ".join(row["tokens"]), spans


def _counts(
    test: Sequence[Row], found: Sequence[Sequence[tuple[int, int, str]]]
) -> list[list[int]]:
    """Per document the spans that are right, wanted and found."""
    return [
        [len({*spans} & {*given}), len(spans), len(given)]
        for (_, spans), given in zip(test, found, strict=True)
    ]


def _f1(counts: NDArray[np.int64]) -> float:
    right, wanted, found = counts.sum(axis=0).tolist()
    return 200.0 * right / max(wanted + found, 1)


def _difference(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> dict[str, Any]:
    """Points and their interval, paired by document."""
    rng = np.random.default_rng(0)
    drawn = [
        _f1(ours[rows]) - _f1(theirs[rows])
        for rows in (rng.integers(0, len(ours), len(ours)) for _ in range(RESAMPLES))
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"points": _f1(ours) - _f1(theirs), "interval": [float(low), float(high)]}
