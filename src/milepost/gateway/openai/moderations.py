"""Guards as moderations: which are asked, and what their answers mean as categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost.entities.serving import Answer, Guard, ServedTask
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.models import PREFIX, no_model, parse_model
from milepost.gateway.openai.wire import Moderation, ModerationsRequest

EVERY_GUARD = ("omni-moderation", "text-moderation")
"""Beginnings of the names that OpenAI's own clients send; they mean all guards."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A guarding task and what trips it.

    Attributes:
        task: The task.
        rules: The guards by which other tasks name it, without repetition.
        release: The release that must answer; ``None`` follows the channels.
    """

    task: ServedTask
    rules: tuple[Guard, ...]
    release: int | None = None


def moderation_texts(request: ModerationsRequest) -> list[str]:
    """The texts of a request, at least one. Parts are texts of their own.

    Raises:
        RefusedError: If there is none, or a part is not text.
    """
    given = [request.input] if isinstance(request.input, str) else request.input
    texts: list[str] = []
    for at, each in enumerate(given):
        if isinstance(each, str):
            texts.append(each)
        elif each.type == "text" and each.text is not None:
            texts.append(each.text)
        else:
            raise RefusedError(
                400,
                "invalid_value",
                f"parts of type {each.type[:40]!r} cannot be read.",
                param=f"input[{at}]",
                advice="Only text is judged: give texts, or parts of type 'text'.",
            )
    if not texts:
        raise RefusedError(
            400, "invalid_value", "there is no text.", param="input", advice="Give one, or a list."
        )
    return texts


def judges(
    model: str | None, tasks: Sequence[ServedTask], served: Mapping[str, ServedTask]
) -> list[Judge]:
    """The guards to ask.

    Args:
        model: The model of the request.
        tasks: Tasks that the key may ask; whoever may ask a task may see what guards it.
        served: All tasks by name.

    Raises:
        RefusedError: If the model is no task that the key may ask and no guard of one.
        RefusedError: If no task is guarded, or the named one guards none.
    """
    rules: dict[str, list[Guard]] = {}
    for task in tasks:
        for guard in task.guards:
            known = rules.setdefault(guard.task, [])
            if not any(_trip(guard) == _trip(each) for each in known):
                known.append(guard)
    found = {
        name: Judge(served[name], tuple(rules[name])) for name in sorted(rules) if name in served
    }
    if model is None or model.startswith(EVERY_GUARD):
        if not found:
            raise RefusedError(
                400,
                "invalid_value",
                "no task that this key may ask has a guard.",
                param="model",
                advice="List one under `guards:` in a task file and release it.",
            )
        return list(found.values())
    named = parse_model(model)
    if named is None:
        raise no_model(model, [PREFIX + name for name in found])
    if named.task not in found and not any(task.name == named.task for task in tasks):
        raise no_model(model, [PREFIX + name for name in found])
    if named.task not in found:
        raise RefusedError(
            400,
            "invalid_value",
            f"the task {named.task!r} guards no task, so nothing says which of its labels flag.",
            param="model",
            advice="Guards: " + (", ".join(PREFIX + name for name in found) or "none") + ".",
        )
    judge = found[named.task]
    return [Judge(judge.task, judge.rules, named.release)]


def _trip(guard: Guard) -> tuple[frozenset[str], float]:
    return frozenset(guard.labels), guard.at_least


def moderation(verdicts: Sequence[tuple[Judge, Answer]]) -> Moderation:
    """What all guards say of one text.

    A guard is tripped when the probabilities of its labels together reach ``at_least``; then its
    most probable label is a category that applies, and every other that reaches the limit alone.
    A guard without labels only tells: it is never tripped, and all its labels have scores.
    """
    categories: dict[str, bool] = {}
    scores: dict[str, float] = {}
    for judge, answer in verdicts:
        for rule in judge.rules:
            told = rule.labels or judge.task.labels
            shares = {label: answer.probabilities.get(label, 0.0) for label in told}
            tripped = bool(rule.labels) and sum(shares.values()) >= rule.at_least
            first = max(shares, key=shares.__getitem__)
            for label, share in shares.items():
                category = f"{judge.task.name}/{label}"
                applies = tripped and (label == first or share >= rule.at_least)
                categories[category] = categories.get(category, False) or applies
                scores[category] = share
    return Moderation(
        flagged=any(categories.values()),
        categories=categories,
        category_scores=scores,
        category_applied_input_types={category: ["text"] for category in categories},
    )
