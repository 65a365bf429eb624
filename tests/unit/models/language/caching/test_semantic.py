from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from milepost.entities.errors import InputError
from milepost.entities.language import Completion, Message, ModelRequest
from milepost.entities.similar import Certificate
from milepost.models.language.asking import Terms
from milepost.models.language.caching.semantic import Bank, Similar, frame

CERTIFIED = Certificate(
    at_most_wrong=0.05, confidence=0.95, threshold=0.9, tried=100, hits=60, wrong=0
)
VECTORS = {"cat": (1.0, 0.0), "kitten": (0.96, 0.28), "dog": (0.0, 1.0), "pup": (0.7, 0.714143)}


def asked(text: str, system: str = "which?", **fields: Any) -> ModelRequest:
    first = Message(role="system", content=system)
    last = Message(role="user", content=f"Animal: {text}!")
    return ModelRequest(messages=(first, last), **fields)


def about(text: str, **more: Any) -> Terms:
    return Terms(**{"task": "route", "about": text, **more})


def bank(upstream: Any) -> Bank:
    return Bank(
        frame=frame(upstream, asked("bird"), "bird") or "",
        vectors=np.array([VECTORS["cat"], VECTORS["dog"]], np.float32),
        answers=[Completion(text="feline", micro_usd=9), Completion(text="canine", micro_usd=9)],
        certificate=CERTIFIED,
    )


class Held:
    """One bank of one task; the encoder is out where ``out`` is set."""

    def __init__(self, upstream: Any) -> None:
        self.known, self.out = bank(upstream), False

    def holds(self, task: str) -> bool:
        return task == "route"

    def bank(self, task: str, frame: str) -> Bank | None:
        return self.known if frame == self.known.frame else None

    async def vector(self, text: str, deadline: float | None) -> Any:
        return None if self.out else np.array(VECTORS[text], np.float32)


def test_only_near_questions_of_the_task_with_its_prompt_are_answered(stage: Any) -> None:
    model = stage.Scripted(stage.row(), lambda _: (0.1, "ok"))
    held = Held(model.upstream)
    layer = Similar(model, held)

    async def trial() -> None:
        found = await layer.complete(asked("kitten"), about("kitten"))
        assert (found.text, found.cached, found.micro_usd) == ("feline", "similar", 0)
        (piece,) = [piece async for piece in layer.stream(asked("cat"), about("cat"))]
        assert piece.whole is not None
        assert piece.text == "feline"
        assert not model.sent
        others = [
            (asked("pup"), about("pup")),
            (asked("cat", "what?"), about("cat")),
            (asked("cat", temperature=1.0), about("cat")),
            (asked("cat", max_tokens=1), about("cat")),
            (asked("cat"), Terms(task="route")),
            (asked("cat"), about("cat", task=None)),
            (asked("cat"), about("cat", task="other")),
            (asked("cat"), about("cat", cache=False)),
            (asked("cat"), about("cat", purpose="improve")),
            (asked("cat"), about("cat", purpose="evaluate")),
        ]
        for number, (request, terms) in enumerate(others):
            assert (await layer.complete(request, terms)).text == str(number), request
        assert len([piece async for piece in layer.stream(asked("pup"), about("pup"))]) == 1
        held.out = True
        assert not (await layer.complete(asked("cat"), about("cat"))).cached
        await layer.close()
        assert model.closed

    stage.run(trial())


def test_a_frame_is_one_prompt_to_one_model(stage: Any) -> None:
    here, there = stage.row(), stage.row(endpoints=2)
    same = {frame(here, asked(each), each) for each in ("cat", "a longer text", "x y")}
    assert len(same) == 1
    assert frame(there, asked("cat"), "cat") not in same
    assert frame(here, asked("cat", "what?"), "cat") not in same
    assert frame(here, asked("Animal"), "Animal") not in same, "the prompt has this word itself"
    for text in ("cats", "", "\0"):
        assert frame(here, asked("cat"), text) is None


def test_a_bank_that_does_not_fit_is_refused(stage: Any) -> None:
    whole = bank(stage.row())
    for vectors, answers in (
        (whole.vectors[:1], whole.answers),
        (whole.vectors[:0], []),
        (2.0 * whole.vectors, whole.answers),
    ):
        with pytest.raises(InputError):
            Bank(
                frame="f",
                vectors=vectors,
                answers=answers,
                certificate=CERTIFIED,
                expires=datetime(2030, 1, 1, tzinfo=UTC),
            )
