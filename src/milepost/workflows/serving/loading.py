"""Releases from the ledger into memory: every byte verified, warmed, shared where equal."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError, InputError, MilepostError
from milepost.entities.ids import Digest
from milepost.entities.images import BLANK
from milepost.entities.inputs import Composition
from milepost.entities.release import Manifest, Release
from milepost.models.export import Variant
from milepost.models.images.beside import PARTS, BesideTrunk
from milepost.models.pairs import PairTrunk, unpaired
from milepost.models.trunk import Trunk
from milepost.predictors.base import Predictor
from milepost.predictors.preparation import Preparation
from milepost.predictors.reading import adapters_of
from milepost.serving.driving import is_driven
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.work import Stack, TrunkKey, Work
from milepost.serving.loaded import Loaded, Seat
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_encoder
from milepost.workflows.release.bundles import load_bundle
from milepost.workflows.serving.fidelity import DRIVEN, REFERENCE, trunk_for, variant_for

WARM_SECONDS = 120.0
"""Longest time that warming may take; a server that waits longer for its own engine is lost."""

_WARM_TEXT = "A first question, so that nobody else has to wait for it."
_AT_ONCE = 256
_READS_TEXT: tuple[tuple[Variant, ...], str] = ((), "it reads the text itself")


@dataclass(frozen=True, slots=True, eq=False)
class _Bundle:
    """What releases with the same bundle share."""

    predictor: Predictor
    manifest: Manifest
    variants: tuple[Variant, ...]
    why: str
    prepare: Preparation


class Loader:
    """Loads releases. Any thread may call; one loads at a time, and nothing is loaded twice.

    Holds what it loaded only as long as somebody else does.

    Args:
        context: The workspace.
        engine: Where they will answer; it is given the encoders that they need.
        variant: The encoder's variant that all serve on; ``None`` chooses by fidelity.
    """

    def __init__(self, context: Context, engine: Engine, variant: Variant | None = None) -> None:
        self._context = context
        self._engine = engine
        self._variant: Variant | None = variant
        self._lock = threading.RLock()
        # The last release that was loaded of each bundle.
        self._bundles: WeakValueDictionary[Digest, Loaded] = WeakValueDictionary()
        self._releases: WeakValueDictionary[tuple[str, int], Loaded] = WeakValueDictionary()
        self._updates: WeakValueDictionary[tuple[str, int, Digest], Loaded] = WeakValueDictionary()
        self._warm: WeakKeyDictionary[Loaded, set[TrunkKey | None]] = WeakKeyDictionary()
        self._trunks: dict[TrunkKey, Trunk] = {}
        self._paired: dict[TrunkKey, PairTrunk] = {}
        self._beside: set[TrunkKey] = set()

    def release(self, task: str, number: int) -> Loaded:
        """A release, verified; not yet warm.

        Raises:
            UnknownNameError: If there is no such release.
            InputError: If it was measured with another encoder than the workspace's.
            CorruptError: If a byte of it is not what it was.
            StorageError: If it cannot be read.
        """
        with self._lock:
            known = self._releases.get((task, number))
            if known is not None:
                return known
            row = self._context.ledger.release(task, number)
            loaded = self._loaded(row, self._bundle(row.bundle))
            self._releases[task, number] = self._bundles[row.bundle] = loaded
            return loaded

    def production(self, task: str, number: int) -> Loaded:
        """The release in production as it answers now, with what it learned and forgot since.

        It serves on the variants of the release: one example more or less is no other predictor.

        Raises:
            MilepostError: As :meth:`release`.
        """
        made = self.release(task, number)
        update = self._context.ledger.release_update(task, number)
        if update is None:
            return made
        key = task, number, update.bundle
        with self._lock:
            known = self._updates.get(key)
            if known is None:
                predictor, manifest = load_bundle(self._context, update.bundle)
                known = replace(made, bundle=update.bundle, predictor=predictor, manifest=manifest)
                self._updates[key] = known
            return known

    def pinned(self, task: str, number: int) -> Loaded:
        """A release that a request names, verified; not yet warm.

        Raises:
            UnknownNameError: If there is no such release.
            InputError: If it lacks approvals, or its encoder is not the workspace's.
            StorageError: If it cannot be read.
        """
        state = self._context.ledger.approvals(task, number)
        if state.lacking:
            raise InputError(
                f"release {number} of {task!r} lacks approvals, so that it answers nobody yet.",
                where="release",
                advice="Name another, or leave it out to get what is in production.",
            )
        return self.release(task, number)

    def trunks(self) -> list[Trunk]:
        """The encoders that are in memory, the one for new contests first."""
        context = self._context
        own = sorted(self._trunks, key=lambda key: context.reading(key[0]) is not context)
        return [self._trunks[key] for key in own]

    def reference(self, digest: str | None = None) -> TrunkKey:
        """An encoder as it measures; it is opened at the first call.

        Args:
            digest: Of the encoder; ``None`` for that of new contests.

        Raises:
            EncoderError: If it cannot be had.
        """
        key = trunk_for(self._context.reading(digest), REFERENCE).digest, REFERENCE
        self._open(key)
        return key

    def remember(self, digest: str, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Spare what reads pairs the encoding of sides whose vectors ``(n, d)`` are known."""
        for (name, variant), trunk in tuple(self._paired.items()):
            if unpaired(name)[0] == digest and variant == REFERENCE:
                trunk.remember(texts, vectors)

    def warm(self, seats: Sequence[Seat]) -> dict[Seat, MilepostError]:
        """Let each answer once that has not yet, so that nobody waits for what is done only once.

        Returns:
            Why a release cannot answer where it sits, for each that cannot.

        Raises:
            EncoderError: If a variant of the encoder cannot be had.
            OverloadedError: If the engine is full.
        """
        failed: dict[Seat, MilepostError] = {}
        seats = [each for each in seats if each.trunk not in self._warm.get(each.loaded, ())]
        for each in seats:
            if each.trunk is not None:
                # A graph that takes adapters may have to be exported; no engine thread waits.
                adapters = adapters_of(each.predictor.spaces)
                trunk = self._open(each.trunk)
                if adapters:
                    trunk.get_ready(adapters)
        for start in range(0, len(seats), _AT_ONCE):
            part = seats[start : start + _AT_ONCE]
            works = [Work(_warm_input(each.loaded), Stack((each,)), deadline=None) for each in part]
            outcomes = self._engine.run_blocking(works, WARM_SECONDS)
            for each, outcome in zip(part, outcomes, strict=True):
                why = outcome.error or (outcome.failures or {}).get(0)
                row = outcome.probabilities[0] if outcome.probabilities else None
                # What is driven is not asked: its vector is there, and that is all to be warmed.
                right = is_driven(each.loaded.predictor) or (
                    row is not None and _answers(each.predictor, row)
                )
                if why is None and right:
                    self._warm.setdefault(each.loaded, set()).add(each.trunk)
                    continue
                release = each.loaded.release
                failed[each] = CorruptError(
                    f"release {release} gives no answer: {why or 'no probabilities'}.",
                    where=f"{each.loaded.task}#{release}",
                    advice="Put another release into production.",
                )
        return failed

    def _bundle(self, digest: Digest) -> _Bundle:
        known = self._bundles.get(digest)
        if known is not None:
            variants = cast("tuple[Variant, ...]", known.variants)
            return _Bundle(known.predictor, known.manifest, variants, known.why, known.prepare)
        predictor, manifest = load_bundle(self._context, digest)
        reads = predictor.uses == "vectors"
        return _Bundle(
            predictor,
            manifest,
            *(self._variants(digest, manifest, predictor) if reads else _READS_TEXT),
            self._context.preparation(manifest.prepare),
        )

    def _variants(
        self, digest: Digest, manifest: Manifest, predictor: Predictor
    ) -> tuple[tuple[Variant, ...], str]:
        """The variants that a bundle may serve on, best first, and why that one is."""
        if is_driven(predictor):
            variants: tuple[Variant, ...] = (REFERENCE,)
            why = DRIVEN
        elif self._variant is not None:
            variants = (self._variant,)
            why = "it was asked for"
        else:
            best, why = variant_for(self._context, digest, manifest)
            variants = (best,) if best == REFERENCE else (best, REFERENCE)
        trunk = trunk_for(self._context.reading(manifest.encoder), variants[0])
        require_encoder(manifest.encoder, trunk.digest, "release")
        return variants, why

    def _open(self, key: TrunkKey) -> Trunk:
        """An encoder in a variant; the engine is given it the first time that somebody sits there.

        Raises:
            EncoderError: If it cannot be had.
        """
        wanted, variant = key
        plain, version = unpaired(wanted)
        digest, _, parts = plain.partition(PARTS)
        key = (digest, variant)
        with self._lock:
            if key not in self._trunks:
                context = self._context.reading(digest)
                self._trunks[key] = trunk_for(context, cast("Variant", variant))
                self._engine.add_trunk(self._trunks[key])
            if version is not None and (wanted, variant) not in self._paired:
                self._paired[wanted, variant] = PairTrunk(self._trunks[key], version)
                self._engine.add_trunk(self._paired[wanted, variant])
            if parts and (wanted, variant) not in self._beside:
                self._beside.add((wanted, variant))
                self._engine.add_trunk(BesideTrunk(self._trunks[key], int(parts)))
            return self._trunks[key]

    def _loaded(self, row: Release, bundle: _Bundle) -> Loaded:
        card = self._context.ledger.candidate(row.candidate).scorecard
        timed = card.latency if card is not None else None
        return Loaded(
            task=row.task,
            release=row.number,
            bundle=row.bundle,
            strategy=row.strategy,
            predictor=bundle.predictor,
            manifest=bundle.manifest,
            variants=bundle.variants,
            why=bundle.why,
            created=row.created,
            cost_usd_per_1k=timed.cost_per_1k_usd if timed is not None else 0.0,
            prepare=bundle.prepare,
        )


def _warm_input(loaded: Loaded) -> str:
    """An input that nobody sent: of a task that reads images a grey one."""
    how = loaded.manifest.inputs
    if not isinstance(how, Composition) or not how.pictures:
        return loaded.prepare([_WARM_TEXT])[0]
    return how.text({name: BLANK if name in how.pictures else _WARM_TEXT for name in how.names})


def _answers(predictor: Predictor, row: NDArray[np.float32]) -> bool:
    """Whether a row ``(k,)`` can be an answer: finite, and probabilities sum to 1."""
    if not np.isfinite(row).all():
        return False
    return predictor.link != "softmax" or abs(float(row.sum()) - 1.0) < 1e-3
