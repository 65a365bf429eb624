"""Which banks a server holds: those whose certificate holds now."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from msgspec.structs import replace

from milepost.entities.errors import OverloadedError
from milepost.entities.language import Completion
from milepost.entities.prompts import SimilarRule
from milepost.entities.similar import Certificate, SimilarAnswers
from milepost.models.language.caching.semantic import model_digest
from milepost.models.language.inside.fake import fake_upstream
from milepost.workflows.language.banks import bank_of, lapsed, unit

NOW = datetime(2026, 5, 1, tzinfo=UTC)
BIG = fake_upstream()
ROW = SimilarAnswers(
    task="route",
    release=1,
    upstream=BIG.name,
    model=model_digest(BIG),
    frame="f" * 64,
    encoder="e" * 64,
    certificate=Certificate(
        at_most_wrong=0.05, confidence=0.95, threshold=0.9, tried=100, hits=60, wrong=0
    ),
    vectors=np.eye(2, 3).astype("<f2").tobytes(),
    answers=(Completion(text="a"), Completion(text="b")),
    created=NOW,
    expires=NOW + timedelta(days=30),
)


def why(row=ROW, rule=SimilarRule(), upstream=BIG, encoder="e" * 64, at=NOW):  # noqa: B008
    return lapsed(row, rule, upstream, (encoder, at))


def test_a_bank_lapses_with_all_that_it_was_certified_for() -> None:
    assert why() is None
    assert why(rule=SimilarRule(at_most_wrong=0.1, confidence=0.9)) is None
    for said, reason in {
        "does not ask for it": why(rule=None),
        "promises more": why(rule=SimilarRule(at_most_wrong=0.01)),
        "promises more than": why(rule=SimilarRule(confidence=0.99)),
        "holds 30 days": why(at=ROW.expires),
        "another model": why(upstream=replace(BIG, model="other")),
        "at another address": why(upstream=None),
        "another encoder": why(encoder="d" * 64),
    }.items():
        assert reason is not None
        assert said in reason


def test_what_is_kept_is_what_is_looked_up() -> None:
    bank = bank_of(ROW)
    assert (bank.vectors.shape, bank.vectors.dtype) == ((2, 3), np.float32)
    found = bank.find(np.array([0.0, 1.0, 0.0], np.float32))
    assert found is not None
    assert found.text == "b"
    assert np.array_equal(unit(np.zeros(3, np.float32)), np.zeros(3))


@pytest.mark.parametrize("out", [False, True])
def test_an_encoder_that_cannot_answer_leaves_the_question_to_the_model(tmp_path, out) -> None:
    import asyncio

    from milepost.entities.configuration import Configuration
    from milepost.entities.task import Task
    from milepost.workflows.language.banks import SimilarBanks
    from milepost.workflows.opening import create
    from milepost.workflows.tasks.current import version_of

    context = create(tmp_path / "w", Configuration())
    rule = {"similar": {"at_most_wrong": 0.05}}
    import msgspec

    task = msgspec.convert({"name": "route", "labels": {"a": "", "b": ""}, "language": rule}, Task)
    context.ledger.save_task(task, version_of(task))
    context.ledger.add_upstream(BIG, reason="test")
    row = replace(ROW, created=context.clock(), expires=context.clock() + timedelta(days=1))
    context.ledger.keep_similar_answers("route", [row])

    async def embed(text: str, deadline: float | None):
        if out:
            raise OverloadedError("full.")
        return np.array([0.0, 2.0, 0.0], np.float32)

    banks = SimilarBanks(context, lambda: "e" * 64, embed)
    assert not banks.holds("route"), "nothing is held before the first look"
    banks.refresh()
    assert banks.holds("route")
    assert banks.bank("route", "other") is None
    vector = asyncio.run(banks.vector("x", None))
    assert (vector is None) == out
    context.ledger.keep_similar_answers("route", [])
    banks.refresh()
    assert banks.bank("route", row.frame) is None
    assert [e.action for e in context.ledger.audit(2)] == ["similar.certified"] * 2
    context.ledger.close()
