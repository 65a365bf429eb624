"""What a model card says of a kind of task: what the model does, how the Hub calls it, an example.

Knows nothing but the task.
"""

from collections.abc import Mapping

from milepost.entities.kinds import Kind
from milepost.entities.task import Task

NO_PIPELINE = "other"
"""What the Hugging Face Hub calls a result of a task that it has no name for."""

_OF_TEXTS: Mapping[Kind, str] = {
    "classify": "text-classification",
    "extract": "token-classification",
    "match": "text-classification",
    "multilabel": "text-classification",
    "rank": "text-ranking",
}


def pipeline(task: Task) -> str | None:
    """The Hub's name of what a task does (its ``pipeline_tag``); ``None`` where it has none."""
    if task.kind == "score":
        return "sentence-similarity" if task.pairs and not task.images else None
    if not task.images:
        return _OF_TEXTS[task.kind]
    return None if task.words else "image-classification"


def what_it_is(task: Task, labels: int) -> str:
    """What a release of a task does, as the beginning of a sentence.

    Args:
        task: The task.
        labels: How many labels the release knows.
    """
    one, many = _inputs(task)
    if task.kind == "rank":
        return "A model that puts candidates for a query in order"
    if task.kind == "score":
        return f"A model that gives a number for {one}"
    if task.kind == "extract":
        return f"A model that finds spans of {labels} labels in {one}"
    if task.kind == "multilabel":
        return f"A model that gives {one} any number of {labels} labels"
    return f"A classifier of {many} with {labels} labels"


def _inputs(task: Task) -> tuple[str, str]:
    """What a task reads, one and many."""
    if task.pairs:
        both = "an image and a text" if task.images and task.words else (
            "images" if task.images else "texts"
        )  # fmt: skip
        return f"a pair of {both}", f"pairs of {both}"
    if not task.images:
        return "a text", "texts"
    beside = " and what is written of it" if task.words else ""
    return f"an image{beside}", "images and what is written of them" if beside else "images"


def typed_example(task: Task) -> str:
    """An input as somebody types it behind ``milepost predict TASK``."""
    if task.kind == "rank":
        return '"a query"'
    return " ".join(f'"{_part(task, name)}"' for name in task.inputs)


def python_example(task: Task) -> str:
    """The same as an exported release takes it from Python."""
    if len(task.inputs) == 1:
        return f'"{_part(task, next(iter(task.inputs)))}"'
    return "{" + ", ".join(f'"{name}": "{_part(task, name)}"' for name in task.inputs) + "}"


def exportable(task: Task) -> bool:
    """Whether its releases can be exported: not what reads images beside other inputs."""
    return len(task.inputs) == 1 or not task.images


def _part(task: Task, name: str) -> str:
    if name in task.images:
        return "image.jpg"
    return "a text" if len(task.inputs) == 1 else f"the {name}"
