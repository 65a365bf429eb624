"""Use what was released: predictions on texts and files, evaluation on a file from outside."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from milepost.contests.runner import predict
from milepost.data.clean import infer_types
from milepost.data.duplicates import regroup
from milepost.data.examples import clean_texts
from milepost.data.load import Table, load_table
from milepost.data.read import read_examples
from milepost.entities.contest import Evaluation
from milepost.entities.errors import DataError, InputError
from milepost.entities.example import Examples
from milepost.entities.prediction import Predictions, set_threshold
from milepost.entities.task import Task
from milepost.evaluation.measuring import measure_of, row_units
from milepost.evaluation.scorecard import Evidence, build_scorecard
from milepost.evaluation.slices import slice_masks, where_mask
from milepost.metrics.inference.intervals import Sampling, estimate_of
from milepost.metrics.scoring.measures import Sample
from milepost.predictors.base import Batch
from milepost.predictors.exported import as_released
from milepost.workflows.contest.honest import trained_on
from milepost.workflows.contest.timing import Encoders, latencies
from milepost.workflows.context import Context
from milepost.workflows.looking.looks import look_by_evaluation
from milepost.workflows.release.bundles import Answerer, find_answerer
from milepost.workflows.tasks.current import current_task
from milepost.workflows.tasks.files import write_whole
from milepost.workflows.versions import code_version


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answered:
    """Predictions with the rows that they belong to.

    Attributes:
        task: Task name.
        release: Number of the release that answered, or ``None`` for a candidate.
        candidate: Id of the candidate that answered.
        texts: The inputs.
        predictions: One answer per row.
        columns: Columns of the input file, by name; empty for bare texts.
        cover: What the sets of labels promise that were asked for; ``None`` for none.
    """

    task: str
    release: int | None
    candidate: str
    texts: tuple[str, ...]
    predictions: Predictions
    columns: Mapping[str, Sequence[object]]
    cover: float | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def sets(self) -> tuple[tuple[str, ...], ...] | None:
        """Labels that each input may have, where they were asked for."""
        return None if self.cover is None else self.predictions.sets(self.cover)

    def table(self) -> dict[str, Sequence[object]]:
        """The input's columns, then ``label``, ``confidence`` and ``release``.

        Where answers may be withheld there is ``abstained`` too, and ``label`` is ``None`` then.
        Where sets of labels were asked for there is ``set``.

        An input column of one of these names is kept as ``input_<name>``.
        """
        confidence = [round(float(c), 6) for c in self.predictions.confidence]
        added: dict[str, Sequence[object]] = {
            "label": self.predictions.answers,
            "confidence": confidence,
            "release": [self.release] * len(self),
        }
        if self.predictions.abstain_below is not None:
            added["abstained"] = self.predictions.abstained.tolist()
        if self.sets is not None:
            added["set"] = self.sets
        kept = {f"input_{k}" if k in added else k: v for k, v in self.columns.items()}
        return {**kept, **added}

    def csv(self) -> str:
        """The table as CSV text with a header; a set is a JSON array in its cell."""
        table = self.table()
        if self.sets is not None:
            table["set"] = [msgspec.json.encode(each).decode() for each in self.sets]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
        return out.getvalue()

    def write(self, path: Path) -> None:
        """Write the table as .csv, .jsonl or .parquet, whole or not at all.

        Raises:
            InputError: If the suffix is none of these.
            WorkspaceError: If the place cannot be written.
        """
        write_whole(path, self._bytes(path))

    def _bytes(self, path: Path) -> bytes:
        table = self.table()
        match output_format(path):
            case "csv":
                return self.csv().encode()
            case "jsonl":
                rows = zip(*table.values(), strict=True)
                lines = [msgspec.json.encode(dict(zip(table, r, strict=True))) for r in rows]
                return b"".join(line + b"\n" for line in lines)
            case "parquet":
                import pyarrow as pa
                import pyarrow.parquet as pq

                out = io.BytesIO()
                pq.write_table(pa.table({k: list(v) for k, v in table.items()}), out)
                return out.getvalue()


def output_format(path: Path) -> Literal["csv", "jsonl", "parquet"]:
    """What a file of answers is written as, by its suffix.

    Raises:
        InputError: If it has none that is known.
    """
    match path.suffix.lower():
        case ".csv":
            return "csv"
        case ".jsonl" | ".ndjson":
            return "jsonl"
        case ".parquet" | ".pq":
            return "parquet"
        case suffix:
            raise InputError(
                f"cannot write {suffix or 'a file without a suffix'}.",
                where=str(path),
                advice="Name a file that ends in .csv, .jsonl or .parquet.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """What answers: a candidate by id, a release by number, or production when both are None.

    ``cover`` asks for sets of labels too, that hold the right one so often.
    """

    release: int | None = None
    candidate: str | None = None
    cover: float | None = None


def answer_texts(context: Context, name: str, texts: Sequence[str], which: Which) -> Answered:
    """Answer texts.

    Raises:
        InputError: If there is no such task, release or candidate, or a text is not a string.
    """
    current_task(context, name)
    if isinstance(texts, str):
        raise InputError("the inputs are one text.", advice="Give a list, such as [text].")
    for at, text in enumerate(texts):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(
                f"input {at} is {type(text).__name__}, not text.", advice="Give strings."
            )
    answerer = find_answerer(context, name, which.release, which.candidate)
    _check_cover(answerer, which)
    texts = clean_texts(texts, context.settings)
    return replace(_answered(context, name, answerer, texts, {}), cover=which.cover)


def answer_file(
    context: Context, name: str, source: object, which: Which, where: str | None
) -> Answered:
    """Answer every row of a file or dataframe; its columns are kept.

    Raises:
        InputError: As ``answer_texts``; also if the text column is missing or ``where`` is not a
            predicate.
    """
    task = current_task(context, name)
    answerer = find_answerer(context, name, which.release, which.candidate)
    _check_cover(answerer, which)
    table = load_table(source, expect=(task.input_column, task.input_name))
    column = next((c for c in (task.input_column, task.input_name) if c in table.columns), None)
    if column is None:
        table.column(task.input_column, "column")
        raise AssertionError
    texts = clean_texts(table.columns[column], context.settings)
    columns: dict[str, Sequence[object]] = {k: list(v) for k, v in table.columns.items()}
    if where is not None:
        mask = where_mask(_as_examples(table, texts, column), task.input_name, where)
        rows = np.flatnonzero(mask).tolist()
        texts = [texts[i] for i in rows]
        columns = {k: [v[i] for i in rows] for k, v in columns.items()}
    return replace(_answered(context, name, answerer, texts, columns), cover=which.cover)


def _as_examples(table: Table, texts: Sequence[str], column: str) -> Examples:
    """Rows for a filter, with the types that the columns of examples have."""
    n = len(texts)
    typed = {k: v if table.typed else infer_types(v) for k, v in table.columns.items()}
    return Examples(
        ids=tuple(str(i) for i in range(n)),
        texts=tuple(texts),
        labels=(None,) * n,
        groups=("",) * n,
        sources=("",) * n,
        metadata={k: tuple(v) for k, v in typed.items() if k != column},
    )


def _answered(
    context: Context,
    name: str,
    answerer: Answerer,
    texts: Sequence[str],
    columns: Mapping[str, Sequence[object]],
) -> Answered:
    predictor = answerer.predictor
    if predictor.uses == "vectors":
        encoder = context.encoder()
        _check_encoder(answerer, encoder.digest)

        def progress(done: int, total: int) -> None:
            context.on_event(name, f"encoding {done:,} of {total:,} texts", done / max(1, total))

        batch_vectors = encoder.encode(texts, progress)
    else:
        batch_vectors = None
    return Answered(
        task=name,
        release=answerer.release,
        candidate=answerer.candidate,
        texts=tuple(texts),
        predictions=as_released(
            predictor.predict(Batch(tuple(texts), batch_vectors)), answerer.manifest
        ),
        columns=columns,
    )


def _check_cover(answerer: Answerer, which: Which) -> None:
    """Refuse sets of labels that nobody examined, before anything is encoded."""
    known = answerer.manifest.set_thresholds
    if which.cover is not None:
        set_threshold({} if isinstance(known, msgspec.UnsetType) else known, which.cover)


def _check_encoder(answerer: Answerer, digest: str) -> None:
    if answerer.manifest.encoder != digest:
        raise InputError(
            "the workspace's encoder is not the one that this predictor was measured with.",
            where="milepost.toml: encoder",
            advice="Set the encoder back, or run `milepost improve` with the new one.",
        )


def evaluate(
    context: Context, name: str, source: object, which: Which, where: str | None
) -> Evaluation:
    """Measure a release or candidate on a labelled file from outside.

    Rows that the candidate was trained on, or near-duplicates of such, are measured too, but
    counted, and the objective's metric is given without them as well; labels that the task does
    not know count as wrong. Rows that contests judge on are recorded as a look.

    Raises:
        InputError: As ``answer_file``; also if no row has a label.
    """
    task = current_task(context, name)
    answerer = find_answerer(context, name, which.release, which.candidate)
    read = read_examples([source], task, context.settings, unknown_labels="keep")
    examples = read.examples
    if where is not None:
        columns = {**examples.metadata, task.data.label: examples.labels}
        mask = where_mask(replace(examples, metadata=columns), task.input_name, where)
        examples = examples.take(np.flatnonzero(mask).tolist())
    examples = examples.take(examples.labelled_rows)
    if not len(examples):
        raise DataError(
            "no row has a label.",
            where=read.sources[0].path,
            advice=f"Is {task.data.label!r} the column?",
        )
    found = _evaluation(context, task, answerer, examples)
    who = f"release {answerer.release}" if answerer.release else f"candidate {answerer.candidate}"
    look_by_evaluation(context, name, examples, f"evaluate {who} on {read.sources[0].path}")
    return found


def _evaluation(context: Context, task: Task, answerer: Answerer, examples: Examples) -> Evaluation:
    predictor = answerer.predictor
    encoder = context.encoder()
    if predictor.uses == "vectors":
        _check_encoder(answerer, encoder.digest)
    position = {label: i for i, label in enumerate(predictor.labels)}
    y = np.asarray([position.get(str(label), -1) for label in examples.labels], np.int64)
    probabilities = predict(predictor, examples.texts, encoder)
    measure = measure_of(task.objective, predictor.labels, context.root)
    sampling = Sampling(
        confidence=context.settings.confidence, resamples=context.settings.bootstrap
    )
    seen = _trained_rows(context, answerer, examples)
    unseen = np.setdiff1d(np.arange(len(y)), seen)
    card = build_scorecard(
        Evidence(
            labels=predictor.labels,
            objective=task.objective,
            regime="test_file",
            y=y,
            probabilities=probabilities,
            ids=examples.ids,
            texts=examples.texts,
            slice_masks=slice_masks(examples, task.input_name, task.objective.slices),
            temperature=predictor.temperature,
            sampling=sampling,
            notes=_seen_notes(examples, seen),
            measure=measure,
            units=row_units(examples.groups),
            provenance={
                "bundle_examples": answerer.manifest.examples or "",
                "code": code_version(),
            },
        )
    )
    encoders = Encoders(context.bare_encoder(), encoder)
    timed = latencies({"this": predictor}, examples.texts, encoders, context.settings)
    return Evaluation(
        task=task.name,
        release=answerer.release,
        candidate=answerer.candidate,
        scorecard=msgspec.structs.replace(card, latency=timed["this"]),
        seen=len(seen),
        on_unseen=estimate_of(
            measure.found(Sample(y[unseen], probabilities[unseen])), sampling.confidence
        )
        if seen and len(unseen)
        else None,
    )


def _trained_rows(context: Context, answerer: Answerer, examples: Examples) -> list[int]:
    """Rows that were trained on, word for word or nearly."""
    trained = trained_on(context, context.ledger.contest_of(answerer.candidate))
    ours, theirs = regroup([examples, trained], context.settings.near_duplicate)
    known = set(theirs.duplicates)
    return [i for i, group in enumerate(ours.duplicates) if group in known]


def _seen_notes(examples: Examples, seen: Sequence[int]) -> tuple[str, ...]:
    if not seen:
        return ()
    return (
        f"{len(seen):,} of {len(examples):,} rows were trained on, word for word or nearly; the "
        f"first is {examples.sources[seen[0]]}.",
    )
