"""Tensors of the Open Inference Protocol: texts from them, and answers as them.

The binary form is that of the protocol's binary data extension and of ``raw_input_contents`` over
gRPC: numbers little-endian, row by row; each string after its length as four bytes.
"""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import UnknownNameError
from milepost.entities.kinds import KINDS, Link
from milepost.entities.serving import Answer, Answers, ServedTask
from milepost.gateway.errors import RefusedError
from milepost.gateway.inference.wire import Datatype, ModelMetadata, Tensor

INPUT = "text"
"""What the input of a task with one text is called; several have their own names."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One output of a model.

    Attributes:
        name: Its name.
        datatype: Its elements.
        shape: Its sizes.
        values: Its elements, row by row: a list of strings, or an array.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    values: list[str] | NDArray[np.float32] | NDArray[np.bool_]

    def raw(self) -> bytes:
        """Its elements as bytes."""
        if isinstance(self.values, list):
            return packed(self.values)
        return self.values.astype("<f4" if self.datatype == "FP32" else "?", copy=False).tobytes()


def packed(texts: Iterable[str]) -> bytes:
    """Strings as a binary ``BYTES`` tensor."""
    parts: list[bytes] = []
    for text in texts:
        encoded = text.encode()
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)


def unpacked(raw: bytes | memoryview, most: int, name: str = INPUT) -> list[str]:
    """Strings of a binary ``BYTES`` tensor.

    Args:
        raw: The bytes.
        most: Most strings that are read.
        name: What the tensor is called.

    Raises:
        RefusedError: If it ends within a string, one is not UTF-8, or there are more.
    """
    texts: list[str] = []
    at, end = 0, len(raw)
    while at < end:
        if len(texts) == most:
            raise _wrong(name, "holds more elements than its shape says")
        if at + 4 > end:
            raise _wrong(name, "ends within the length of an element")
        (size,) = _LENGTH.unpack_from(raw, at)
        at += 4
        if at + size > end:
            raise _wrong(name, f"ends within element {len(texts)}")
        texts.append(text_of(raw[at : at + size], len(texts), name))
        at += size
    return texts


def text_of(raw: bytes | memoryview, at: int, name: str = INPUT) -> str:
    """The text of element ``at`` of a tensor.

    Raises:
        RefusedError: If it is not UTF-8.
    """
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise _wrong(name, f"has an element that is not UTF-8: {at}") from None


def flat_texts(data: Sequence[Any], name: str = INPUT) -> list[str]:
    """Strings of a JSON tensor, flat or in rows of one.

    Raises:
        RefusedError: If an element is not a string.
    """
    texts: list[str] = []
    for at, each in enumerate(data):
        element: Any = each[0] if isinstance(each, list) and len(each) == 1 else each
        if not isinstance(element, str):
            raise _wrong(name, f"has an element that is not a string: {at}")
        texts.append(element)
    return texts


def check_input(name: str, datatype: str, shape: Sequence[int]) -> int:
    """How many texts an input announces, at least one.

    Raises:
        RefusedError: If it is not what a task reads.
    """
    if datatype != "BYTES":
        raise _wrong(name, f"has datatype {datatype[:20]!r}, not 'BYTES'")
    if len(shape) not in (1, 2) or tuple(shape[1:]) not in ((), (1,)):
        raise _wrong(name, f"has shape {list(shape[:8])}, not [n] or [n, 1]")
    if shape[0] < 1:
        raise _wrong(name, "has no element")
    return shape[0]


def check_count(texts: Sequence[str], announced: int, name: str = INPUT) -> None:
    """Refuse a tensor that does not hold as many texts as its shape says.

    Raises:
        RefusedError: If it does not.
    """
    if len(texts) != announced:
        raise _wrong(name, f"has {len(texts)} elements, but its shape says {announced}")


def _names(task: ServedTask) -> tuple[str, ...]:
    return (INPUT,) if task.inputs is None else task.inputs.names


def texts_in(task: ServedTask, given: Sequence[tuple[str, list[str]]]) -> tuple[str, ...]:
    """The texts that a task is asked about, those of several inputs composed.

    Args:
        task: The task.
        given: Name and texts of each tensor.

    Raises:
        RefusedError: 400 if they are not just the task's inputs, each of as many texts.
    """
    names, by_name = _names(task), dict(given)
    other = next((name for name, _ in given if name not in names), None)
    if other is not None:
        raise _unknown("input", other, names, f"inputs.{other[:60]}")
    if len(given) != len(names) or len(by_name) != len(names):
        wanted = "one input" if len(names) == 1 else "the inputs"
        listed = ", ".join(map(repr, names))
        told = ", ".join(repr(name) for name, _ in given) or "none"
        raise RefusedError(
            400,
            "invalid_tensor",
            f"{task.name} has {wanted} {listed}, and the request {told}.",
            param="inputs",
            advice="Send a tensor for each.",
        )
    if task.inputs is None:
        return tuple(by_name[INPUT])
    first, *rest = names
    for name in rest:
        if len(by_name[name]) != len(by_name[first]):
            raise _wrong(name, f"has {len(by_name[name])} elements, {first!r} has "
                         f"{len(by_name[first])}")  # fmt: skip
    rows = zip(*(by_name[name] for name in names), strict=True)
    return tuple(task.inputs.text(dict(zip(names, row, strict=True))) for row in rows)


def _unknown(kind: str, name: str, known: Iterable[str], param: str) -> RefusedError:
    error = UnknownNameError(kind, name[:60], known)
    return RefusedError(400, f"unknown_{kind}", error.what, param=param, advice=error.advice)


def _wrong(name: str, what: str) -> RefusedError:
    name = name[:60]
    return RefusedError(
        400, "invalid_tensor", f"the tensor {name!r} {what}.", param=f"inputs.{name}"
    )


def _strings(answers: Answers, get: Callable[[Answer], str]) -> list[str]:
    return [get(each) for each in answers.predictions]


def _label(task: ServedTask, answers: Answers) -> Output:
    values = _strings(answers, lambda each: each.label or "")
    return Output("label", "BYTES", (len(values),), values)


def _confidence(task: ServedTask, answers: Answers) -> Output:
    # NaN where an answer states none: a tensor of numbers has no other word for it.
    said = (each.confidence for each in answers.predictions)
    values = np.array([math.nan if share is None else share for share in said], np.float32)
    return Output("confidence", "FP32", values.shape, values)


def _probabilities(task: ServedTask, answers: Answers) -> Output:
    labels = labels_of(task, answers)
    rows = [
        [each.probabilities.get(label, 0.0) for label in labels] for each in answers.predictions
    ]
    values = np.array(rows, np.float32).reshape(len(rows), len(labels))
    return Output("probabilities", "FP32", values.shape, values)


def _abstained(task: ServedTask, answers: Answers) -> Output:
    values = np.array([each.abstained for each in answers.predictions], np.bool_)
    return Output("abstained", "BOOL", values.shape, values)


def _trace_id(task: ServedTask, answers: Answers) -> Output:
    values = _strings(answers, lambda each: each.trace_id)
    return Output("trace_id", "BYTES", (len(values),), values)


def _score(task: ServedTask, answers: Answers) -> Output:
    # A guard may have stopped an answer of any kind.
    given = (each.score for each in answers.predictions)
    values = np.array([nan if each is msgspec.UNSET else each for each in given], np.float32)
    return Output("score", "FP32", values.shape, values)


_OUTPUTS: dict[str, tuple[Datatype, Callable[[ServedTask, Answers], Output]]] = {
    "label": ("BYTES", _label),
    "confidence": ("FP32", _confidence),
    "probabilities": ("FP32", _probabilities),
    "score": ("FP32", _score),
    "abstained": ("BOOL", _abstained),
    "trace_id": ("BYTES", _trace_id),
}

_OF_ALL = ("abstained", "trace_id")
_OF_NUMBERS = ("label", "score", *_OF_ALL)
_OF_LABELS = ("label", "confidence", "probabilities", *_OF_ALL)
_BY_LINK: dict[Link, tuple[str, ...]] = {
    "softmax": _OF_LABELS,
    "sigmoid": _OF_LABELS,
    "identity": _OF_NUMBERS,
    "relevance": _OF_NUMBERS,
    "spans": ("label", "confidence", *_OF_ALL),
}


def output_names(task: ServedTask) -> tuple[str, ...]:
    """The outputs of a task: those that its kind has."""
    return _BY_LINK[KINDS[task.kind].link]


def labels_of(task: ServedTask, answers: Answers) -> list[str]:
    """Labels in the order of the columns of ``probabilities``.

    Those of the production release; a release that is asked by its number, or that answers for a
    while as a canary, may know others, which follow in the order of the alphabet.
    """
    known = set(task.labels)
    more = {label for each in answers.predictions for label in each.probabilities} - known
    return [*task.labels, *sorted(more)]


def outputs(task: ServedTask, answers: Answers, wanted: Sequence[str]) -> list[Output]:
    """Answers as the tensors that were asked for; all, where none was named."""
    return [_OUTPUTS[name][1](task, answers) for name in wanted or output_names(task)]


def check_outputs(task: ServedTask, wanted: Sequence[str]) -> None:
    """Refuse an output that there is not, before anything is asked.

    Raises:
        RefusedError: 400 if one is unknown, or asked for twice.
    """
    for name in wanted:
        if name not in output_names(task):
            raise _unknown("output", name, output_names(task), "outputs")
    if len(set(wanted)) < len(wanted):
        raise RefusedError(
            400, "duplicate_output", "an output is asked for twice.", param="outputs"
        )


def version_of(version: str | None) -> int | None:
    """The release that a version names; ``None`` follows the channels.

    Raises:
        RefusedError: 404 if it is not a number.
    """
    if not version:
        return None
    if not (version.isascii() and version.isdigit() and len(version) <= 9):
        raise RefusedError(
            404,
            "unknown_version",
            f"{version[:20]!r} is not the number of a release.",
            param="version",
            advice="A version is a release, such as 1; without one the channels decide.",
        )
    return int(version)


def ready_version(task: ServedTask, version: str | None) -> bool:
    """Whether a release is loaded for a channel, or any where none is named.

    Raises:
        RefusedError: 404 if the version is not a number.
    """
    release = version_of(version)
    return release is None or release in _in_channels(task)


def _in_channels(task: ServedTask) -> list[int]:
    found = {task.production, task.canary, task.shadow}
    return sorted(release for release in found if release is not None)


def labels_json(labels: Sequence[str]) -> str:
    """Labels as parameters and properties carry them, which hold no lists: a JSON array."""
    return msgspec.json.encode(labels).decode()


def model_metadata(task: ServedTask) -> ModelMetadata:
    """A task as a model."""
    width = len(task.labels)
    return ModelMetadata(
        name=task.name,
        versions=tuple(str(release) for release in _in_channels(task)),
        platform="milepost",
        inputs=tuple(Tensor(name=n, datatype="BYTES", shape=(-1,)) for n in _names(task)),
        outputs=tuple(
            Tensor(
                name=name,
                datatype=_OUTPUTS[name][0],
                shape=(-1, width) if name == "probabilities" else (-1,),
            )
            for name in output_names(task)
        ),
        properties={"labels": labels_json(task.labels)} if KINDS[task.kind].labelled else {},
    )
