from typing import Any

import numpy as np
import pytest

from milepost.entities.errors import InputError
from milepost.entities.language import Completion, Message, ModelRequest
from milepost.models.language.asking import Terms
from milepost.models.language.caching.semantic import Bank, Certificate, Similar, frame

TASK = Terms(task="route")
CERTIFIED = Certificate(at_most=0.05, confidence=0.95, threshold=0.9, tried=100, hits=60, wrong=0)
VECTORS = {"cat": (1.0, 0.0), "kitten": (0.96, 0.28), "dog": (0.0, 1.0), "pup": (0.7, 0.714143)}


def asked(text: str, system: str = "which?", **fields: Any) -> ModelRequest:
    first = Message(role="system", content=system)
    last = Message(role="user", content=text)
    return ModelRequest(messages=(first, last), **fields)


async def embed(text: str) -> Any:
    return np.array(VECTORS[text], np.float32)


def bank() -> Bank:
    return Bank(
        frame=frame(asked("")) or "",
        vectors=np.array([VECTORS["cat"], VECTORS["dog"]], np.float32),
        answers=[Completion(text="feline", micro_usd=9), Completion(text="canine", micro_usd=9)],
        certificate=CERTIFIED,
    )


def test_only_near_questions_of_the_task_with_its_prompt_are_answered(stage: Any) -> None:
    model = stage.Scripted(stage.row(), lambda _: (0.1, "ok"))
    layer = Similar(model, {"route": bank()}.get, embed)

    async def trial() -> None:
        found = await layer.complete(asked("kitten"), TASK)
        assert (found.text, found.cached, found.micro_usd) == ("feline", "semantic", 0)
        (piece,) = [piece async for piece in layer.stream(asked("cat"), TASK)]
        assert piece.whole is not None
        assert piece.text == "feline"
        assert not model.sent
        others = [
            (asked("pup"), TASK),
            (asked("cat", "what?"), TASK),
            (asked("cat", temperature=1.0), TASK),
            (asked("cat", max_tokens=1), TASK),
            (asked("cat"), Terms()),
            (asked("cat"), Terms(task="other")),
            (asked("cat"), Terms(task="route", cache=False)),
        ]
        for number, (request, terms) in enumerate(others):
            assert (await layer.complete(request, terms)).text == str(number), request
        assert len([piece async for piece in layer.stream(asked("pup"), TASK)]) == 1
        await layer.close()
        assert model.closed

    stage.run(trial())


def test_a_bank_that_does_not_fit_is_refused() -> None:
    whole = bank()
    for vectors, answers in (
        (whole.vectors[:1], whole.answers),
        (whole.vectors[:0], []),
        (2.0 * whole.vectors, whole.answers),
    ):
        with pytest.raises(InputError):
            Bank(frame="f", vectors=vectors, answers=answers, certificate=CERTIFIED)
