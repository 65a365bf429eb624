"""The record of tasks that were tuned together and its adapters, as bytes and back."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from milepost.contests.runner import Entry
from milepost.data.duplicates import text_keys
from milepost.entities.errors import CorruptError, DataError
from milepost.entities.example import Examples
from milepost.entities.ids import Digest
from milepost.entities.together import Together
from milepost.models.adapters import Adapter
from milepost.strategies.multitask import Multitask
from milepost.strategy import Joint
from milepost.workflows.contest.datasets import Material
from milepost.workflows.contest.snapshots import stored_examples
from milepost.workflows.context import Context


def adapter_bytes(adapter: Adapter) -> bytes:
    """The adapter's arrays as safetensors; the encoder that it is made for is in the record."""
    from safetensors.numpy import save

    halves = (("down", adapter.down), ("up", adapter.up))
    return save(
        {
            f"{layer}.{side}": np.ascontiguousarray(array)
            for side, half in halves
            for layer, array in half.items()
        }
    )


def read_adapter(data: bytes, encoder: str) -> Adapter:
    """What ``adapter_bytes`` gave.

    Raises:
        CorruptError: If it is no adapter.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except SafetensorError as error:
        raise CorruptError(f"an adapter cannot be read: {error}.") from error
    sides: dict[str, dict[str, np.ndarray]] = {"down": {}, "up": {}}
    for name, array in arrays.items():
        layer, _, side = name.rpartition(".")
        if side not in sides:
            raise CorruptError(f"an adapter holds {name!r}, which is none of its arrays.")
        sides[side][layer] = np.asarray(array, np.float32)
    return Adapter(encoder, sides["down"], sides["up"])


def together_of(context: Context, digest: Digest) -> Together:
    """The record.

    Raises:
        StorageError: If it is gone or damaged.
    """
    try:
        return msgspec.json.decode(context.artifacts.get(digest), type=Together)
    except msgspec.DecodeError as error:
        raise CorruptError("the record of tasks tuned together cannot be read.") from error


def joint_of(context: Context, task: str, material: Material) -> Joint | None:
    """The adapters that a task was tuned into with others; ``None`` where it was not.

    Raises:
        DataError: If its training examples are not those that it was tuned with.
        StorageError: If the record or an adapter is gone or damaged.
    """
    digest = material.split.together
    if isinstance(digest, msgspec.UnsetType):
        return None
    record = together_of(context, digest)
    own = next((each for each in record.tasks if each.name == task), None)
    if own is None or set(own.folds) != set(material.train.ids):
        raise DataError(
            "its training examples are not those that the tasks were tuned together with.",
            where=f"tasks/{task}.yaml",
            advice="Run `milepost improve --together` again.",
        )
    fold_of = {
        text: own.folds[identity]
        for identity, text in zip(material.train.ids, material.train.texts, strict=True)
    }

    def adapter(each: Digest) -> Adapter:
        return read_adapter(context.artifacts.get(each), record.encoder)

    return Joint(
        tasks=tuple(each.name for each in record.tasks),
        fold_of=fold_of,
        adapters=tuple(adapter(each) for each in record.adapters),
        whole=adapter(record.whole),
    )


def kept_with(context: Context, material: Material) -> tuple[Digest, ...]:
    """Digests of the record and its adapters, without which no number can be recomputed."""
    digest = material.split.together
    if isinstance(digest, msgspec.UnsetType):
        return ()
    record = together_of(context, digest)
    return (digest, *record.adapters, record.whole)


def with_tuning(context: Context, material: Material, entries: Sequence[Entry]) -> list[Entry]:
    """The entries; to the time of what was tuned together its task's share of the tuning is added.

    The tuning is paid for by all tasks alike.

    Raises:
        StorageError: If the record is gone or damaged.
    """
    digest = material.split.together
    if isinstance(digest, msgspec.UnsetType):
        return list(entries)
    record = together_of(context, digest)
    n = len(record.tasks)
    return [
        replace(
            entry,
            seconds=entry.seconds + record.seconds / n,
            cpu_seconds=entry.cpu_seconds + record.cpu_seconds / n,
        )
        if entry.strategy == Multitask.name and entry.fitted is not None
        else entry
        for entry in entries
    ]


def with_others(
    context: Context, task: str, examples: Examples, digest: Digest | msgspec.UnsetType
) -> Examples:
    """A task's training examples, and those of the tasks that it was tuned together with.

    Whoever reads them asks what an encoder may have seen: inputs as they were asked, no labels.

    Raises:
        StorageError: If the record or a snapshot is gone or damaged.
    """
    if isinstance(digest, msgspec.UnsetType):
        return examples
    parts = [examples]
    for each in together_of(context, digest).tasks:
        if each.name != task:
            dataset = context.ledger.dataset(each.examples)
            snapshot = stored_examples(context, dataset.artifact)
            rows = [row for row, identity in enumerate(snapshot.ids) if identity in each.folds]
            parts.append(snapshot.take(rows))
    asked = [text for part in parts for text in part.asked]
    keys = text_keys(asked)
    return Examples(
        ids=tuple(f"{at}:{identity}" for at, part in enumerate(parts) for identity in part.ids),
        texts=tuple(asked),
        labels=(None,) * len(asked),
        groups=keys,
        sources=tuple(source for part in parts for source in part.sources),
    )
