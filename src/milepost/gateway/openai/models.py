"""Tasks, the encoder and language models as models: names, lists, and what a name means."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from milepost.entities.errors import UnknownNameError
from milepost.entities.serving import ServedTask
from milepost.entities.upstream import Upstream
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.wire import Model, Models
from milepost.serving.asking import ServedEncoder

PREFIX = "milepost/"
"""What the model names of tasks begin with."""


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A task as a model's name gives it.

    Attributes:
        task: Its name.
        release: The release that must answer; ``None`` follows the channels.
    """

    task: str
    release: int | None = None


def parse_model(name: str) -> TaskModel | None:
    """What ``milepost/NAME`` or ``milepost/NAME@RELEASE`` means; ``None`` for any other name.

    Raises:
        RefusedError: 400 if the release is no number.
    """
    if not name.startswith(PREFIX):
        return None
    task, at, release = name.removeprefix(PREFIX).partition("@")
    if not at:
        return TaskModel(task)
    if not (release.isascii() and release.isdigit() and len(release) <= 9 and int(release)):
        raise RefusedError(
            400,
            "invalid_value",
            f"{release[:20]!r} is not the number of a release.",
            param="model",
            advice=f"Name the task alone, {PREFIX}{task[:100]}, or one of its releases, "
            f"such as {PREFIX}{task[:100]}@1.",
        )
    return TaskModel(task, int(release))


def no_model(name: str, known: Iterable[str]) -> RefusedError:
    """That there is no such model, as OpenAI's clients expect it, with the nearest name.

    Args:
        name: The name asked for.
        known: Those that there are, and that the key may ask.
    """
    error = UnknownNameError("model", name[:100], known)
    return RefusedError(404, "model_not_found", error.what, param="model", advice=error.advice)


def list_models(
    tasks: Sequence[ServedTask], encoder: ServedEncoder | None, upstreams: Sequence[Upstream] = ()
) -> Models:
    """All tasks, then the encoder, then language models."""
    found = [_as_model(task) for task in tasks]
    if encoder is not None:
        found.append(Model(id=encoder.name, created=0))
    found += [Model(id=each.name, created=0, owned_by=each.wire) for each in upstreams]
    return Models(data=tuple(found))


def find_model(name: str, models: Models) -> Model:
    """One of these by its id.

    Raises:
        RefusedError: 404 if there is none; names the nearest.
    """
    known = {model.id: model for model in models.data}
    if name not in known:
        raise no_model(name, known)
    return known[name]


def _as_model(task: ServedTask) -> Model:
    created = int(task.created.timestamp()) if task.created is not None else 0
    return Model(id=PREFIX + task.name, created=created)
