"""Model cards: valid metadata, no number that is not in the records, blanks for a person."""

import re
from datetime import UTC, datetime

import msgspec
import pytest
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Comparison, Decision
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.estimate import Estimate
from milepost.entities.examination import (
    AttributeScore,
    ChangeScore,
    Check,
    Examination,
    Gap,
    Privacy,
)
from milepost.entities.example import Dataset, Finding, QualityReport, SourceFile
from milepost.entities.release import Approval, Manifest, Release
from milepost.entities.scorecard import (
    Calibration,
    Confusion,
    LabelScore,
    Latency,
    Scorecard,
    SliceScore,
)
from milepost.entities.task import Objective, Task
from milepost.releases.card_limits import FEW, limits
from milepost.releases.card_words import MARKER, SECTIONS, PersonWords, read_words
from milepost.releases.cards import CardRecords, chance, figure, render_card, share, signed

DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
AT = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)


def estimate(value: float, n: int = 90, width: float = 0.05) -> Estimate:
    low, high = max(0.0, value - width), min(1.0, value + width)
    return Estimate(
        value=value, low=low, high=high, n=n, method="clopper_pearson", at_least=low, at_most=high
    )


def scorecard(value: float = 0.812, n: int = 90, **more: object) -> Scorecard:
    card = Scorecard(
        regime="cross_fitted",
        metric="macro_f1",
        metrics={"accuracy": estimate(value, n), "macro_f1": estimate(value * 0.9, n)},
        labels=(
            LabelScore(label="refund", n=n - 7, precision=estimate(0.9), recall=None, f1=0.875),
            LabelScore(label="a|b <i>", n=7, precision=None, recall=estimate(0.111), f1=None),
        ),
        slices=(
            SliceScore(
                name="german", predicate="lang = 'de'", n=41, estimate=estimate(0.7),
                gap=0.125, gap_low=0.031, gap_high=0.219, p_value=0.0001,
            ),
        ),
        calibration=Calibration(ece=0.2, ece_if_perfect=0.01, temperature=1.3125, bins=()),
        confusions=(Confusion(actual="refund", predicted="a|b <i>", n=3),),
        latency=Latency(
            p50_ms=0.0712, p95_ms=12.34, n=50, cpu_seconds_per_1k=0.0123, cost_per_1k_usd=1.4e-7
        ),
        looks=2,
        notes=("A note.",),
        provenance={"encoder_name": "all-MiniLM-L6-v2"},
    )  # fmt: skip
    return msgspec.structs.replace(card, **more)


def records(card: Scorecard | None = None, **more: object) -> CardRecords:
    candidate = Candidate(
        id="c000000000001-head",
        strategy="head",
        scorecard=card or scorecard(),
        bundle=DIGEST,
        predictions=DIGEST[::-1],
        chosen=True,
        fit_seconds=17.346,
        against=Comparison(
            metric="macro_f1", against="majority", difference=0.592, low=0.567, high=0.617,
            p_value=0.001, p_worse=1.0, n=90, method="paired_randomisation",
        ),
    )  # fmt: skip
    contest = Contest(
        id="c000000000001", task="route", task_version=DIGEST, examples=DIGEST, holdout=None,
        regime="cross_fitted", seed=7, budget_seconds=None, started=AT, seconds=22.5,
        candidates=(candidate,), code="0.1.0",
        decision=Decision(verdict="released", reasons=("Macro F1 is at least 0.612 (p < 0.05).",)),
    )  # fmt: skip
    quality = QualityReport(
        rows=97, used=95, labelled=90, label_counts={"refund": 83, "a|b <i>": 7},
        findings=(Finding(check="x", severity="note", count=12, summary="12 rows repeat."),),
    )  # fmt: skip
    dataset = Dataset(
        digest=DIGEST, artifact=DIGEST, task="route", role="examples", rows=95, quality=quality,
        sources=(SourceFile(path="data/route_1.csv", sha256=DIGEST, rows=97),),
    )  # fmt: skip
    given = {
        "release": Release(
            task="route", number=3, candidate=candidate.id, contest=contest.id, bundle=DIGEST,
            strategy="head", created=AT, actor="ann", digest=DIGEST,
        ),
        "contest": contest,
        "candidate": candidate,
        "task": Task(name="route", instruction="Which *queue*?", objective=Objective()),
        "task_number": 2,
        "manifest": Manifest(
            kind="linear", task="route", task_version=DIGEST, labels=("refund", "a|b <i>"),
            strategy="head", encoder=DIGEST, variant="fp32",
        ),
        "datasets": (dataset,),
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "regime": "There were too few labels to set any aside.",
        "place": "cards/route.md",
        **more,
    }  # fmt: skip
    return CardRecords(**given)


def test_the_hub_reads_the_metadata() -> None:
    card = ModelCard(render_card(records())).data
    assert card.pipeline_tag == "text-classification"
    assert card.library_name == "milepost"
    assert card.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert card.tags == ["milepost", "head"]
    assert card.license is None
    assert card.language is None
    assert card.metrics == ["accuracy", "f1"]
    told = {each.metric_name: each for each in card.eval_results}
    stored = scorecard()
    assert told["accuracy"].metric_value == stored.metrics["accuracy"].value
    assert told["macro F1"].metric_value == stored.metrics["macro_f1"].value
    assert told["macro F1"].metric_type == "f1"
    assert told["macro F1"].metric_args["average"] == "macro"
    assert told["macro F1"].metric_args["n"] == 90
    assert {each.task_type for each in card.eval_results} == {"text-classification"}
    assert {each.dataset_revision for each in card.eval_results} == {DIGEST}


KINDS = [
    ({}, "text-classification", "A classifier of texts with 2 labels", '"a text"', '["a text"]'),
    (
        {"kind": "match", "inputs": {"left": "string", "right": "string"}},
        "text-classification",
        "A classifier of pairs of texts with 2 labels",
        '"the left" "the right"',
        '[{"left": "the left", "right": "the right"}]',
    ),
    (
        {"kind": "multilabel", "inputs": {"title": "string", "body": "string"}},
        "text-classification",
        "A model that gives a text any number of 2 labels",
        '"the title" "the body"',
        '[{"title": "the title", "body": "the body"}]',
    ),
    (
        {"kind": "extract"},
        "token-classification",
        "A model that finds spans of 2 labels in a text",
        '"a text"',
        '["a text"]',
    ),
    (
        {"kind": "score"},
        None,
        "A model that gives a number for a text",
        '"a text"',
        '["a text"]',
    ),
    (
        {"kind": "score", "compose": "pair", "inputs": {"a": "string", "b": "string"}},
        "sentence-similarity",
        "A model that gives a number for a pair of texts",
        '"the a" "the b"',
        '[{"a": "the a", "b": "the b"}]',
    ),
    (
        {"kind": "rank", "inputs": {"query": "string", "answer": "string"}},
        "text-ranking",
        "A model that puts candidates for a query in order",
        '"a query"',
        '[{"query": "the query", "answer": "the answer"}]',
    ),
    (
        {"inputs": {"photo": "image"}},
        "image-classification",
        "A classifier of images with 2 labels",
        '"image.jpg"',
        '["image.jpg"]',
    ),
    (
        {"inputs": {"photo": "image", "note": "string"}},
        None,
        "A classifier of images and what is written of them with 2 labels",
        '"image.jpg" "the note"',
        None,
    ),
    (
        {"kind": "match", "inputs": {"photo": "image", "note": "string"}},
        None,
        "A classifier of pairs of an image and a text with 2 labels",
        '"image.jpg" "the note"',
        None,
    ),
]


@pytest.mark.parametrize(("fields", "pipeline", "what", "typed", "given_"), KINDS)
def test_a_card_says_what_its_kind_does_and_how_it_is_asked(
    fields: dict[str, object], pipeline: str | None, what: str, typed: str, given_: str | None
) -> None:
    text = render_card(records(task=Task(name="route", **fields)))
    data = ModelCard(text).data
    assert data.pipeline_tag == pipeline
    assert {each.task_type for each in data.eval_results} == {pipeline or "other"}
    assert f"\n{what}, chosen, measured and released by milepost. All\nthat is not" in text
    assert f"\nmilepost predict route {typed} --release 3\n" in text
    if given_ is None:
        assert "load_exported" not in text
        assert "is not exported yet" in text
    else:
        assert f"release.predict({given_}).answers" in text


def test_what_a_person_knows_reaches_the_metadata() -> None:
    person = read_words(
        "---\nlicense: apache-2.0\nlanguage: [de, en]\ntags: support\n---\n", "cards/route.md"
    )
    card = ModelCard(render_card(records(person=person))).data
    assert card.license == "apache-2.0"
    assert card.language == ["de", "en"]
    assert card.tags == ["milepost", "head", "support"]


def test_without_an_encoder_there_is_no_base_model() -> None:
    assert ModelCard(render_card(records(base_model=None))).data.base_model is None


def numbers_in(text: str) -> list[str]:
    """Every number, digests and code left out."""
    text = re.sub(r"`[^`]*`|```.*?```", " ", text, flags=re.DOTALL)
    return re.findall(r"[-+]?\d+(?:\.\d+)?", text)


def said_in(record: object) -> set[str]:
    """Every way in which a card may write the numbers of a record."""
    found: set[str] = set()
    if isinstance(record, bool) or record in (None, msgspec.UNSET):
        return found
    if isinstance(record, int | float):
        formatted = (share(record), signed(record), figure(record), str(record), repr(record))
        return {*formatted, *numbers_in(chance(record))}
    if isinstance(record, str):
        return {*re.findall(r"[-+]?\d+(?:\.\d+)?", record)}
    if isinstance(record, datetime):
        return {*re.findall(r"[-+]?\d+", f"{record:%Y-%m-%d %H:%M}")}
    if isinstance(record, dict):
        return set().union(*(said_in(each) for pair in record.items() for each in pair), found)
    if isinstance(record, tuple | list):
        return {f"{len(record)}"}.union(*(said_in(each) for each in record))
    names = getattr(record, "__struct_fields__", None) or record.__dataclass_fields__
    return found.union(*(said_in(getattr(record, name)) for name in names))


shares = st.floats(0.0, 1.0, allow_nan=False)
counts = st.integers(1, 10**6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    value=shares, n=counts, ece=shares, slow=st.floats(1e-6, 1e5), cost=st.floats(0.0, 1e3),
    looks=st.integers(0, 40), p=shares,
)  # fmt: skip
def test_every_number_on_the_card_is_in_the_records(
    value: float, n: int, ece: float, slow: float, cost: float, looks: int, p: float
) -> None:
    slices = (
        SliceScore(name="s", predicate="length(text) > 5", n=n, estimate=estimate(value, n),
                   gap=value - 0.5, gap_low=value - 0.6, gap_high=value - 0.4, p_value=p),
    )  # fmt: skip
    card = scorecard(
        value,
        n + 7,
        looks=looks,
        slices=slices,
        calibration=Calibration(ece=ece, ece_if_perfect=ece / 3, temperature=slow, bins=()),
        latency=Latency(
            p50_ms=slow, p95_ms=slow * 2, n=n, cpu_seconds_per_1k=slow / 7, cost_per_1k_usd=cost
        ),
    )
    written = records(card)
    text = render_card(written)
    body = text.split("\n---\n", 1)[1]
    body = body.replace("SHA-256", "").replace("95th percentile", "")
    own = {str(FEW)}
    allowed = said_in(written) | own
    strange = [each for each in numbers_in(body) if each not in allowed]
    assert strange == []


def test_values_in_the_metadata_are_the_stored_ones() -> None:
    odd = scorecard(0.1 + 0.2)
    told = ModelCard(render_card(records(odd))).data.eval_results
    assert [each.metric_value for each in told] == [each.value for each in odd.metrics.values()]


def test_texts_of_users_mean_nothing_but_themselves() -> None:
    text = render_card(records())
    assert "| a\\|b &lt;i> |" in text
    assert "Which \\*queue\\*?" in text
    assert "<i>" not in re.sub(r"`[^`]*`", "", text)


def test_blanks_are_marked_and_go_when_a_person_writes() -> None:
    text = render_card(records())
    assert text.count(MARKER) == len(SECTIONS) + 1
    assert PersonWords().blanks == (*(f"## {name}" for name in SECTIONS), "license: …")
    written = "---\nlicense: mit\n---\n" + "".join(
        f"## {name}\n\nWords on {name}.\n\n### More\n\nAnd more.\n\n" for name in SECTIONS
    )
    person = read_words(written, "cards/route.md")
    assert person.blanks == ()
    whole = render_card(records(person=person))
    assert MARKER not in whole
    for name in SECTIONS:
        assert f"## {name}\n\nWords on {name}.\n\n### More\n\nAnd more.\n" in whole


def test_a_section_that_was_only_copied_still_waits() -> None:
    copied = f"## Risks\n\n{MARKER} who is affected.\n\n## Contact\n\n\n"
    assert "## Risks" in read_words(copied, "x").blanks
    assert "## Contact" in read_words(copied, "x").blanks


@pytest.mark.parametrize(
    ("text", "says", "kind"),
    [
        ("## Intendet use\n\nx", "Did you mean 'Intended use'", UnknownNameError),
        ("---\nlicence: mit\n---\n", "Did you mean 'license'", UnknownNameError),
        ("hello\n## Risks\nx", "above the first heading", InputError),
        ("---\nlicense: [\n---\n", "not YAML", InputError),
        ("---\n- a\n---\n", "not a mapping", InputError),
        ("---\nlicense: 7\n---\n", "license is not text", InputError),
        ("---\nlicense: !!python/object/apply:os.system [ls]\n---\n", "not YAML", InputError),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, says: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=says):
        read_words(text, "cards/route.md")


def test_limits_follow_from_the_numbers() -> None:
    said = " ".join(limits(scorecard()))
    assert "Nothing was set aside" in said
    assert "looked at 2 times" in said
    assert f"fewer than {FEW} examples" in said
    assert "`a\\|b <i>` (7)" in said
    assert "finds 0.111 (0.061 to 0.161) of 7" in said
    assert "Slice `german` is shown to be worse than the rest: by 0.125" in said
    assert "off by 0.200" in said


def test_no_limit_is_made_up() -> None:
    good = scorecard(
        regime="test_file",
        looks=1,
        slices=(),
        labels=(LabelScore(label="a", n=90, precision=None, recall=estimate(0.82), f1=None),),
        calibration=Calibration(ece=0.01, ece_if_perfect=0.01, temperature=1.0, bins=()),
    )
    assert len(limits(good)) == 2
    looked_at = msgspec.structs.replace(good, examination=Examination())
    assert len(limits(looked_at)) == 1


def test_what_an_examination_found_are_limits_bias_and_privacy() -> None:
    change = ChangeScore(
        change="typos",
        n=80,
        before=estimate(0.8),
        after=estimate(0.7),
        flips=estimate(0.12),
        drop=0.1,
        drop_low=0.04,
        drop_high=0.16,
    )
    gap = Gap(
        name="equal_opportunity",
        value=0.21,
        low=0.11,
        high=0.3,
        highest="b|d",
        lowest="c",
        p_value=0.01,
    )
    found = Examination(
        robustness=(change, msgspec.structs.replace(change, change="case", drop_low=-0.01)),
        fairness=(AttributeScore(attribute="country", label="yes", groups=(), gaps=(gap,)),),
        privacy=Privacy(
            tpr_at_1_fpr=estimate(0.04), auroc=estimate(0.6), members=90, shadows=8, method="m"
        ),
        checks=(Check(name="x", outcome="open", sentence="It < is | open."),),
    )
    said = limits(msgspec.structs.replace(scorecard(), examination=found))
    assert any("`typos` cost 0.100" in each and "0.040 to 0.160" in each for each in said)
    assert not any("`case`" in each for each in said)
    assert any(each.startswith("Bias: between `b\\|d` and `c`") for each in said)
    assert any("Privacy" in each and "0.040 (0.000 to 0.090) of 90" in each for each in said)
    assert "It &lt; is \\| open." in said


def test_what_was_not_measured_is_said() -> None:
    text = render_card(records(scorecard(latency=None, calibration=None)))
    assert "| energy and CO₂ | not measured |" in text
    assert "| time and cost of predictions | not measured |" in text
    assert "### Calibration" not in text


def test_approvals_are_on_the_card() -> None:
    approval = Approval(task="route", release=3, actor="bob", role="owner", reason="ok", at=AT)
    text = render_card(records(approvals=(approval,), approvals_needed=1))
    assert "1 of 1 needed." in text
    assert "- bob (owner), 2026-03-14 15:09 UTC: ok" in text
    assert "## Approvals" not in render_card(records())


def test_the_same_records_give_the_same_card() -> None:
    assert render_card(records()) == render_card(records())
