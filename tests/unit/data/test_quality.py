import pytest

from milepost.data.duplicates import regroup
from milepost.data.labels import label_typos
from milepost.data.quality import profile
from milepost.entities.example import Examples, Finding


def report(rows, **options):
    n = len(rows)
    examples = Examples(
        ids=tuple(str(i) for i in range(n)),
        texts=tuple(text for text, _ in rows),
        labels=tuple(label for _, label in rows),
        groups=("",) * n,
        sources=tuple(f"f.csv:{i + 1}" for i in range(n)),
    )
    quality = profile(regroup([examples], 0.8)[0], rows=n, **options)
    return quality, {finding.check: finding for finding in quality.findings}


def plenty(label, n=20):
    return [(f"{label} says thing {i}", label) for i in range(n)]


CLEAN = [*plenty("card"), *plenty("refund")]


def test_clean_data_has_no_findings():
    quality, found = report(CLEAN)
    assert found == {}
    assert quality.label_counts == {"card": 20, "refund": 20}


def test_duplicates_exact_and_near():
    long = (
        "please send me the new card to my address in the old town before the end of this week ok"
    )
    rows = [*CLEAN, ("hello", "card"), ("hello", "card"), ("Hello!", "card"), (long, "card"),
            (long.replace("new", "red"), "card")]  # fmt: skip
    _, found = report(rows)
    assert found["exact_duplicates"].count == 1
    assert found["exact_duplicates"].examples == ('2 times, f.csv:41: "hello"',)
    assert found["near_duplicates"].count == 4
    assert "4 different texts are almost the same" in found["near_duplicates"].summary
    assert "conflicting_labels" not in found


def test_conflicting_labels_are_shown_with_their_places():
    _, found = report([*CLEAN, ("where is it", "card"), ("Where is it?", "refund")])
    finding = found["conflicting_labels"]
    assert finding.count == 2
    assert finding.summary.startswith("1 message carries different labels")
    assert finding.examples == ('"where is it": card × 1, refund × 1 (f.csv:41, f.csv:42)',)


def test_scores_have_a_range_and_conflict_where_they_lie_far_apart():
    # Of 1 to 5, five of each, the standard deviation is 1.41.
    rows = [(f"thing {i} {'of wood' * (i % 2)} costs {i}", str(1 + i % 5)) for i in range(25)]
    quality, found = report(rows, kind="score")
    assert found == {}
    scores = quality.scores
    assert (scores.low, scores.high, scores.mean, scores.levels) == (1.0, 5.0, 3.0, 5)
    assert scores.spread == pytest.approx(2**0.5)
    near = [("where is it", "4"), ("Where is it?", "5"), ("so late", "3"), ("so late", "3.5")]
    assert not {name for name in report([*rows, *near], kind="score")[1] if "conflict" in name}
    _, found = report([*rows, *near, ("where is it!", "1")], kind="score")
    finding = found["conflicting_scores"]
    assert finding.count == 3
    assert finding.summary.startswith("1 message carries scores that differ by more than the sp")
    assert finding.examples == (
        '"where is it": 4 × 1, 5 × 1, 1 × 1 (f.csv:26, f.csv:27)',
    )  # fmt: skip


def test_almost_equal_messages_conflict_by_score_as_well():
    long = "please send me the new card to my address in the old town before the end of this week"
    rows = [(f"thing {i} costs {i}", str(1 + i % 5)) for i in range(25)]
    near = [(f"{long} ok", "1"), (f"{long.replace('new', 'red')} ok", "5")]
    _, found = report([*rows, *near], kind="score")
    assert found["conflicting_near_duplicates"].count == 2
    assert "conflicting_scores" not in found
    _, found = report([*rows, near[0], (near[1][0], "2")], kind="score")
    assert "conflicting_near_duplicates" not in found


def test_scores_that_are_alike_or_missing_are_no_conflict():
    assert report([("a b", "3"), ("A b", "3"), ("c", None)], kind="score")[1].keys() == {
        "near_duplicates"
    }
    quality, _ = report([("a b", None)], kind="score")
    assert not quality.scores


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"refund": 50, "refnud": 2}, ["refnud"]),
        ({"card lost": 50, "Card-Lost": 40}, ["Card-Lost"]),
        ({"complaint": 50, "complant": 2, "complianit": 1}, ["complant", "complianit"]),
        ({"spam": 50, "ham": 5}, []),
        ({"level1": 50, "level2": 2}, []),
        ({"positive": 50, "negative": 40}, []),
        ({"like": 50, "bike": 40}, []),
        ({}, []),
    ],
)
def test_label_typos(counts, expected):
    found = label_typos(counts)
    assert [e.split("'")[1] for f in found for e in f.examples] == expected


def test_declared_labels_are_never_typos_but_what_resembles_them_is():
    found = label_typos({"refund": 50, "refunds": 3}, ["refund", "refunds"])
    assert found == []
    (finding,) = label_typos({"refund": 3, "refnd": 2}, ["refund", "card"])
    assert finding.examples == ("'refnd' (2 rows) is probably 'refund' (3 rows)",)


def test_rare_and_missing_labels_and_imbalance():
    rows = [*plenty("card", 60), *plenty("one", 1), *plenty("three", 3)]
    _, found = report(rows, declared=["card", "one", "three", "never"])
    assert found["labels_without_examples"].count == 1
    assert "'never'" in found["labels_without_examples"].summary
    assert found["labels_with_one_example"].count == 1
    assert found["rare_labels"].count == 1
    assert "(94 % of all)" in found["imbalance"].summary


def test_encoding_faults():
    rows = [*CLEAN, ("FÃ¼r alle", "card"), ("Itâ€™s", "card"), ("lost \ufffd", "card"),
            ("bell \x07", "card"), ("São João À NÃO ¿Qué? Ärger", "card"),
            ("tab\tand\nline", "card")]  # fmt: skip
    _, found = report(rows)
    assert found["encoding_mojibake"].count == 2
    assert found["encoding_replacement"].count == 1
    assert found["encoding_control"].count == 1


def test_length_outliers():
    _, found = report([*CLEAN, ("word " * 2000, "card")])
    assert found["length_outliers"].count == 1
    assert found["length_outliers"].examples[0].startswith("f.csv:41: 10,000 characters")


def test_findings_are_sorted_worst_first_and_short():
    left_out = Finding(check="empty_texts", severity="error", count=1, summary="1 row.")
    quality, _ = report([*CLEAN, *[("same", "card")] * 9, ("same", "refund")], findings=[left_out])
    assert [f.severity for f in quality.findings] == ["error", "warning", "note"]
    assert all(len(f.examples) <= 5 for f in quality.findings)


def test_nothing_at_all():
    quality, found = report([])
    assert quality.used == 0
    assert found == {}
