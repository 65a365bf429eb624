from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from rich.cells import cell_len

from milepost.entities.contest import Evaluation
from milepost.entities.example import QualityReport, Scores
from milepost.entities.prediction import Predictions
from milepost.entities.release import Approval, ApprovalState
from milepost.reports.document import Document
from milepost.reports.records import DoctorRow, ReportSubject, TaskRow
from milepost.reports.tables import (
    doctor_table,
    evaluation_table,
    findings_table,
    predictions_table,
    releases_table,
    tasks_table,
)


class Answers(Protocol):
    texts: Sequence[str]
    predictions: Predictions


def narrow(document: Document) -> str:
    text = str(document)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert document.html().count("<script") == 0
    return text


def test_tasks_show_verdict_quality_and_what_runs(banking: ReportSubject) -> None:
    assert banking.contest is not None
    best = banking.contest.candidates[0].scorecard
    assert best is not None
    rows = [
        TaskRow(
            task="route",
            labels=77,
            verdict="insufficient_evidence",
            metric="balanced_accuracy",
            estimate=best.objective,
            production=2,
            cost_per_1k_usd=0.0031,
            p50_ms=4.13,
        ),
        TaskRow(task="fresh", labels=2, metric="macro_f1", production=7),
    ]
    text = narrow(tasks_table(rows))
    first = next(line for line in text.splitlines() if "route" in line)
    assert first.split() == [
        *("?", "route", "insufficient", "balanced"),
        *("0.861", "[0.85,", "0.87]", "2", "$0.0031", "4.1"),
    ]
    assert "evidence" in text
    fresh = next(line for line in text.splitlines() if "fresh" in line)
    assert fresh.rstrip().endswith("7")
    assert first.index("  2 ".strip(), first.index("0.87]") + 5) == fresh.index("7")


def test_no_tasks_and_no_releases_are_said_in_words() -> None:
    assert str(tasks_table([])) == "There are no tasks yet."
    assert str(releases_table([], None)) == "There is no release yet."


def test_releases_are_newest_first_with_production_marked(banking: ReportSubject) -> None:
    lines = narrow(releases_table(banking.releases, banking.channel)).splitlines()
    assert lines[2].split()[:3] == ["●", "2", "head_logistic"]
    assert lines[2].endswith("production")
    assert lines[3].endswith("rollback")


def test_releases_show_who_approved_them_and_what_waits(banking: ReportSubject) -> None:
    assert banking.channel is not None
    newest = banking.releases[-1] if banking.releases[-1].number == 2 else banking.releases[0]
    third = msgspec.structs.replace(newest, number=3, actor="ann")
    yes = Approval(
        task=third.task, release=3, actor="ben", role="owner", reason="ok", at=third.created
    )
    states = {
        3: ApprovalState(release=3, needed=2, approvals=(yes,)),
        2: ApprovalState(release=2, needed=2),
    }
    lines = narrow(releases_table([third, newest], banking.channel, states)).splitlines()
    assert "approved by" in lines[0]
    assert "ben (1 of 2)" in " ".join(lines[2].split())
    assert any("1 older release not shown" in line for line in lines)
    assert [line.rstrip() for line in lines if line.startswith("!")] == [
        f"! release 3 waits for 1 approval: milepost approve {third.task} 3"
    ]


def test_findings_name_places(banking: ReportSubject) -> None:
    assert banking.quality is not None
    text = narrow(findings_table(banking.quality))
    assert "10,013 rows read, 10,010 used, 10,000 labelled, 77 labels" in text
    assert "✘ empty texts  3 rows have no text and were left out." in text
    assert "· inbox.csv:17" in text
    assert "\x1b" not in text


def test_scores_are_told_by_their_range_and_not_as_a_label() -> None:
    scores = Scores(low=1.0, high=5.0, mean=3.456, spread=1.2, levels=5)
    found = QualityReport(rows=9, used=9, labelled=9, label_counts={"stars": 9}, scores=scores)
    text = str(findings_table(found))
    assert "5 different scores from 1 to 5, mean 3.46" in text
    assert "label," not in text
    assert "1 label" not in text


def test_clean_data_is_said_to_be_clean() -> None:
    clean = QualityReport(rows=2, used=2, labelled=2, label_counts={"a": 1, "b": 1})
    assert "✔ Nothing to complain about." in str(findings_table(clean))


def test_evaluation_shows_metrics_slices_and_unknown_labels(evaluation: Evaluation) -> None:
    text = narrow(evaluation_table(evaluation))
    assert "route  release 1 on 3,080 examples" in text
    assert "★  accuracy           0.861 [0.85, 0.87]" in text
    assert "+0.180 [+0.07, +0.29]" in text
    assert "! 4 rows have a label that the task does not know; counted as wrong." in text
    assert "p95 6.6 ms" in text


def test_evaluation_of_a_candidate_without_slices_or_timing(evaluation: Evaluation) -> None:
    card = msgspec.structs.replace(evaluation.scorecard, slices=(), latency=None, notes=())
    bare = msgspec.structs.replace(evaluation, release=None, scorecard=card)
    text = narrow(evaluation_table(bare))
    assert f"candidate {evaluation.candidate}" in text
    assert "gap" not in text


def test_predictions_are_shortened_and_keep_their_confidence(answered: Answers) -> None:
    text = narrow(predictions_table(answered.texts, answered.predictions))
    assert "card_lost_or_stolen" in text
    assert "0.97" in text
    assert "…" in text


def test_no_predictions_give_an_empty_table() -> None:
    none = Predictions(("a", "b"), np.zeros((0, 2), np.float32))
    assert "label" in narrow(predictions_table((), none))


def test_doctor_rows() -> None:
    rows = [
        DoctorRow(name="onnxruntime", status="ok", found="1.31", enables="running encoders"),
        DoctorRow(name="torch", status="missing", enables="pip install 'milepost[train]'"),
    ]
    text = narrow(doctor_table(rows))
    assert "✔  onnxruntime" in text
    assert "○  torch" in text
    assert "missing" in text


def test_findings_that_were_shown_are_not_shown_again(banking: ReportSubject) -> None:
    assert banking.quality is not None
    found = set(banking.quality.findings)
    again = narrow(findings_table(banking.quality, found))
    assert len(found) > 1
    assert f"{len(found)} findings as above." in again
    assert "empty texts" not in again
    assert "as above" not in narrow(findings_table(banking.quality))


def test_an_evaluation_on_training_rows_is_marked(evaluation: Evaluation) -> None:
    seen = msgspec.structs.replace(evaluation, seen=3_080)
    said = "release 1 was trained on 3,080 of these 3,080 rows, so the numbers say nothing"
    assert f"! {said}" in " ".join(narrow(evaluation_table(seen)).split())
    other = msgspec.structs.replace(
        evaluation, seen=3_000, on_unseen=evaluation.scorecard.objective
    )
    assert "numbers flatter it. On the other 3,080 examples, accuracy is 0.861" in " ".join(
        narrow(evaluation_table(other)).split()
    )


def test_an_evaluation_of_queries_counts_queries_and_rows_apart(evaluation: Evaluation) -> None:
    replace = msgspec.structs.replace
    card = evaluation.scorecard
    measured = replace(card.objective, n=60)
    ranks = replace(card, metric="ndcg@10", metrics={"ndcg@10": measured}, slices=())
    found = replace(
        evaluation, scorecard=ranks, seen=1_219, rows=1_800, on_unseen=replace(measured, n=20)
    )
    shown = " ".join(narrow(evaluation_table(found)).split())
    assert "on 60 queries" in shown
    assert "was trained on 1,219 of these 1,800 rows" in shown
    assert "On the other 20 queries, nDCG at 10 is" in shown
