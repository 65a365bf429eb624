"""Low-rank adapters of an encoder, and the stacks in which those of many tasks run together.

Knows arrays; knows neither the runtime nor where adapters are trained or kept.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of, sha256_bytes
from milepost.entities.errors import EncoderError
from milepost.models.graphs.layout import Feeds, tiled

MOST_ADAPTERS = 128
"""Adapters kept in the stacks of a trunk between batches; 37 MB of rank 8 on queries and values
of all-MiniLM-L6-v2. The least recently used make room."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Adapter:
    """A low-rank change of linear layers, ``x @ (W + down @ up)`` (Hu et al. 2022, LoRA).

    Attributes:
        encoder: Digest of the encoder that it was fitted on.
        down: ``(d_in, rank) float32`` by layer, such as ``0.query``: the number of the transformer
            layer and ``query``, ``key``, ``value``, ``output``, ``inner`` or ``outer``.
        up: ``(rank, d_out) float32`` by layer, its scale (α / rank) multiplied in.

    Raises:
        EncoderError: If a layer lacks its other half, the ranks differ, or a value is not finite.
    """

    encoder: str
    down: Mapping[str, Array]
    up: Mapping[str, Array]

    def __post_init__(self) -> None:
        if not self.down or set(self.down) != set(self.up):
            raise EncoderError("an adapter needs `down` and `up` for the same layers, at least one")
        for name, down in self.down.items():
            up = self.up[name]
            fits = down.ndim == up.ndim == 2 and down.shape[1] == up.shape[0] == self.rank
            if not fits:
                raise EncoderError(
                    f"the adapter's layer {name} has shapes {down.shape} and {up.shape}, which "
                    f"are no product of rank {self.rank}."
                )
            if not (np.isfinite(down).all() and np.isfinite(up).all()):
                raise EncoderError(f"the adapter's layer {name} holds a value that is not finite.")

    @property
    def rank(self) -> int:
        """Width between ``down`` and ``up``, ≥ 1."""
        return next(iter(self.down.values())).shape[-1]

    @property
    def adapted_encoder(self) -> str:
        """Digest of its encoder together with it."""
        return digest_of([self.encoder, self.digest])

    def scaled(self, share: float) -> "Adapter":
        """So much of the change: it is linear in ``up``."""
        up = {layer: np.float32(share) * each for layer, each in self.up.items()}
        return Adapter(self.encoder, self.down, up)

    def plus(self, other: "Adapter") -> "Adapter":
        """Both changes together, of the rank of both.

        Raises:
            EncoderError: If they were made for different encoders.
        """
        require_same(other, self.encoder)
        down: dict[str, Array] = {}
        up: dict[str, Array] = {}
        for layer in {**self.down, **other.down}:
            halves = [each._layer(layer, self, other) for each in (self, other)]
            down[layer] = np.concatenate([half[0] for half in halves], axis=1)
            up[layer] = np.concatenate([half[1] for half in halves], axis=0)
        return Adapter(self.encoder, down, up)

    def _layer(self, layer: str, *known: "Adapter") -> tuple[Array, Array]:
        """Both halves of a layer; zeros where only another adapter changes it."""
        if layer in self.down:
            return self.down[layer], self.up[layer]
        like = next(each for each in known if layer in each.down)
        rows, columns = like.down[layer].shape[0], like.up[layer].shape[1]
        return np.zeros((rows, self.rank), np.float32), np.zeros((self.rank, columns), np.float32)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the encoder's digest and every array."""
        arrays = {
            f"{name}.{side}": [list(array.shape), _sha256(array)]
            for side, half in (("down", self.down), ("up", self.up))
            for name, array in half.items()
        }
        return digest_of({"encoder": self.encoder, "arrays": arrays})


class AdapterStacks:
    """The adapters that a trunk has seen, as the stacks that its graph reads. Thread safe.

    A batch whose adapters are there already copies nothing. A new one makes new stacks, so that a
    pass that is running keeps those that it began with.

    Args:
        encoder: Digest of the encoder that adapters must be made for.
        shapes: ``(d_in, d_out)`` of each adapted layer by its name.
        most: Adapters kept between batches, ≥ 1.
    """

    def __init__(
        self, encoder: str, shapes: Mapping[str, tuple[int, int]], most: int = MOST_ADAPTERS
    ) -> None:
        self._encoder = encoder
        self._shapes = dict(shapes)
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, Adapter] = {}
        self._slots: dict[str, int] = {}
        self._stacks: Feeds = {}
        self._stack()

    def feeds(self, lengths: Sequence[int], adapters: Sequence[Adapter | None]) -> Feeds:
        """Inputs for rows of ``lengths`` tokens with these adapters; ``None`` changes nothing.

        Raises:
            EncoderError: If an adapter was made for another encoder, or changes a layer that the
                graph was not exported for.
        """
        slots, stacks = self._placed(list(adapters))
        rows = [0 if each is None else slots[each.digest] for each in adapters]
        return {**stacks, **tiled(lengths, rows)}

    def _placed(self, adapters: list[Adapter | None]) -> tuple[dict[str, int], Feeds]:
        wanted = {each.digest: each for each in adapters if each is not None}
        with self._lock:
            new = [each for digest, each in wanted.items() if digest not in self._kept]
            for each in new:
                self._check(each)
            for digest, each in wanted.items():  # the end of the dictionary is the latest use
                self._kept.pop(digest, None)
                self._kept[digest] = each
            if new:
                while len(self._kept) > max(self._most, len(wanted)):
                    del self._kept[next(iter(self._kept))]
                self._stack()
            return self._slots, self._stacks

    def _check(self, adapter: Adapter) -> None:
        require_same(adapter, self._encoder)
        for name, down in adapter.down.items():
            expected = self._shapes.get(name)
            if expected is None:
                raise EncoderError(
                    f"the adapter changes {name}, which this graph has no input for; it has "
                    f"{', '.join(sorted(self._shapes))}.",
                    advice="Export the release again, so that its encoder takes this adapter.",
                )
            if (len(down), adapter.up[name].shape[1]) != expected:
                raise EncoderError(
                    f"the adapter's layer {name} maps {len(down)} to {adapter.up[name].shape[1]} "
                    f"values, the encoder's {expected[0]} to {expected[1]}."
                )

    def _stack(self) -> None:
        """New stacks of all that are kept; slot 0 is all zeros."""
        kept = list(self._kept.values())
        rank = max((each.rank for each in kept), default=1)
        stacks: Feeds = {}
        for name, (size_in, size_out) in self._shapes.items():
            down = np.zeros((len(kept) + 1, size_in, rank), np.float32)
            up = np.zeros((len(kept) + 1, rank, size_out), np.float32)
            for slot, each in enumerate(kept, 1):
                if name in each.down:
                    down[slot, :, : each.rank] = each.down[name]
                    up[slot, : each.rank] = each.up[name]
            stacks[f"adapter.{name}.down"], stacks[f"adapter.{name}.up"] = down, up
        self._slots = {each.digest: slot for slot, each in enumerate(kept, 1)}
        self._stacks = stacks


def require_same(adapter: Adapter, encoder: str) -> None:
    """Refuse an adapter that was made for another encoder than that of this digest.

    Raises:
        EncoderError: If it was.
    """
    if adapter.encoder != encoder:
        raise EncoderError(
            f"the adapter was made for the encoder {adapter.encoder[:12]}, this one is "
            f"{encoder[:12]}.",
            advice="Train it again on this encoder.",
        )


def _sha256(array: Array) -> str:
    return sha256_bytes(np.ascontiguousarray(array, np.float32).tobytes())
