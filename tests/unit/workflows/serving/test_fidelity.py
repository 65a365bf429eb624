"""On which variant a release serves: agreement, loss, too few texts, what the ledger keeps."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from milepost.entities.errors import EncoderError
from milepost.metrics.inference.intervals import proportion
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.trunk import Passed
from milepost.testing.records import some_fidelity
from milepost.testing.trunks import HashedTrunk
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.release.bundles import load_bundle
from milepost.workflows.serving.fidelity import (
    AGREE,
    FEWEST_TEXTS,
    MOST_TEXTS,
    agreement,
    at_least,
    check_released,
    in_words,
    passes,
    variant_for,
)


@pytest.mark.parametrize(
    ("texts", "agree", "changed", "passed"),
    [
        (400, 400, (0, 0, 0), True),
        (400, 394, (0, 0, 0), True),
        (400, 393, (0, 0, 0), False),
        (60, 60, (0, 0, 60), True),
        (60, 59, (1, 0, 60), False),
        (59, 59, (0, 0, 59), False),
        (400, 395, (3, 2, 400), True),
        (400, 395, (1, 4, 400), True),
        (400, 394, (6, 0, 400), False),
    ],
)
def test_the_rule(texts, agree, changed, passed):
    assert passes(texts, agree, changed) is passed


def test_the_rule_is_as_sharp_as_it_says():
    """The shares that the documentation names, exactly."""
    most = int((1 - AGREE) * MOST_TEXTS)
    assert most == 6

    def passing(differs: float) -> float:
        return 1 - at_least(most + 1, MOST_TEXTS, differs)

    assert passing(0.03) == pytest.approx(0.044, abs=0.001)
    assert passing(0.01) == pytest.approx(0.89, abs=0.001)
    assert at_least(FEWEST_TEXTS, FEWEST_TEXTS, 0.95) == pytest.approx(0.05, abs=0.005)
    assert at_least(0, 10, 0.3) == pytest.approx(1)
    assert at_least(10, 10, 0.5) == pytest.approx(2**-10)


@pytest.mark.parametrize(("agree", "n"), [(0, 60), (1, 60), (393, 400), (399, 400), (400, 400)])
def test_the_interval_is_that_of_clopper_and_pearson(agree, n):
    found = msgspec.structs.replace(some_fidelity(), n=n, agree=agree)
    exact = proportion(agree, n, 0.95)
    assert agreement(found) == pytest.approx((exact.low, exact.high), abs=1e-9)


@dataclass
class Rough(HashedTrunk):
    """A fast variant whose vectors are off by a random turn of this size."""

    variant: str = "int8"
    off: float = 0.0

    def forward(self, tokens, *, states=False, adapters=None):
        vectors = super().forward(tokens, adapters=adapters).vectors
        rng = np.random.default_rng(len(vectors))
        vectors = vectors + self.off * rng.normal(size=vectors.shape) / np.sqrt(vectors.shape[1])
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Passed((vectors / length).astype(np.float32))


def released(context, rows: int, off: float):
    """A workspace with a release, whose int8 is ``off``; its bundle and manifest."""
    words = {"fruit": ["apples", "pears", "plums", "ripe"], "tool": ["saw", "nail", "axe", "drill"]}
    rng = np.random.default_rng(0)
    path = Path(context.root / "data/things.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("text", "label"))
        for i in range(rows):
            label = "fruit" if i % 2 else "tool"
            said = " ".join(rng.choice(words[label], 4))
            out.writerow((f"{said} {i} {rng.integers(1e9)}", label))
    (context.root / "tasks/things.yaml").write_text(
        "name: things\nlabels: {fruit: '', tool: ''}\ndata: {examples: data/things.csv}\n"
    )
    trunks = {"fp32": HashedTrunk(), "int8": Rough(off=off)}
    context = replace(
        context,
        encoder=lambda: OnnxEncoder(trunks["fp32"]),
        bare_encoder=lambda: OnnxEncoder(trunks["fp32"]),
        trunk=trunks.__getitem__,
    )
    options = Options(strategies=("majority", "head_closed_form"), seed=1)
    contest = improve(context, "things", options).contest
    assert contest.release == 1
    return context, contest


def test_a_faithful_variant_is_taken_and_checked_only_once(context):
    context, contest = released(context, 160, 0.0)
    bundle = contest.chosen.bundle
    found = context.ledger.fidelity(bundle, "int8")
    assert found is not None, "improve checks what it releases"
    assert (found.passed, found.agree, found.loss) == (True, found.n, 0.0)
    assert found.n >= FEWEST_TEXTS
    manifest = load_bundle(context, bundle)[1]
    chosen = variant_for(context, bundle, manifest)
    assert chosen.variant == "int8"
    assert "scorecard was measured on fp32" in chosen.reason
    assert context.ledger.fidelity(bundle, "int8") == found


def test_an_unfaithful_variant_is_refused(context):
    context, contest = released(context, 160, 4.0)
    bundle = contest.chosen.bundle
    chosen = variant_for(context, bundle, load_bundle(context, bundle)[1])
    found = context.ledger.fidelity(bundle, "int8")
    assert found is not None
    assert found.agree < AGREE * found.n
    assert chosen.variant == "fp32"
    assert chosen.reason == in_words(found)
    assert f"{found.agree} of {found.n}" in chosen.reason


def test_too_few_texts_stay_on_the_reference(context):
    context, contest = released(context, 40, 0.0)
    bundle = contest.chosen.bundle
    chosen = variant_for(context, bundle, load_bundle(context, bundle)[1])
    assert chosen.variant == "fp32"
    assert "too few" in chosen.reason


def test_what_decides_before_any_check(context):
    context, contest = released(context, 160, 0.0)
    bundle = contest.chosen.bundle
    manifest = load_bundle(context, bundle)[1]
    wanted = replace(context, configuration=with_variant(context.configuration, "fp32"))
    assert variant_for(wanted, bundle, manifest) == ("fp32", "the setting serve_variant says so")

    def none(variant):
        raise EncoderError("it runs in fp32 only.")

    lacking = variant_for(replace(context, trunk=none), bundle, manifest)
    assert lacking == ("fp32", "the encoder has no int8: it runs in fp32 only")
    other = replace(context, trunk=lambda variant: Rough(encoder=type(HashedTrunk().encoder)(32)))
    assert variant_for(other, bundle, manifest).reason == "it was measured with another encoder"


def with_variant(configuration, variant):
    settings = msgspec.structs.replace(configuration.settings, serve_variant=variant)
    return msgspec.structs.replace(configuration, settings=settings)


def test_a_contest_without_a_release_is_left_alone(context):
    context, contest = released(context, 160, 0.0)

    def fail(variant):
        raise AssertionError("nothing should be opened")

    check_released(replace(context, trunk=fail), msgspec.structs.replace(contest, release=None))
