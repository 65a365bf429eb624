"""A release in memory, ready to answer."""

from dataclasses import dataclass, field
from datetime import datetime

from milepost.entities.ids import Digest
from milepost.entities.inputs import Composition
from milepost.entities.release import Manifest
from milepost.models.images.beside import PARTS
from milepost.models.pairs import paired
from milepost.predictors.base import Predictor
from milepost.predictors.preparation.preparing import Preparation
from milepost.serving.engine.work import TrunkKey

MOST_CHARS = 20_000
"""Characters of a text that are read where nobody says how many."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, weakref_slot=True)
class Loaded:
    """One verified release. Never changes, and is shared by all threads.

    Releases with the same bundle share predictor and manifest.

    Attributes:
        task: Name of the task.
        release: Its number.
        bundle: Digest of the bundle.
        strategy: Name of the strategy that made it.
        predictor: Answers batches.
        manifest: What it is and where it came from.
        variants: Variants of the encoder that it may answer on, best first; none where it reads
            text. On which of them it answers is the business of the route.
        why: Why it would answer on the first, in words.
        created: When it was made, UTC; ``None`` where that is not known.
        cost_usd_per_1k: Measured cost of a thousand answers, in USD.
        prepare: From what was sent to what the predictor reads.
    """

    task: str
    release: int
    bundle: Digest
    strategy: str
    predictor: Predictor
    manifest: Manifest
    variants: tuple[str, ...] = ()
    why: str = ""
    created: datetime | None = None
    cost_usd_per_1k: float = 0.0
    prepare: Preparation = field(default_factory=lambda: Preparation((), (), MOST_CHARS))

    @property
    def encoder(self) -> str | None:
        """Digest of the trunk whose vectors it reads; ``None`` where it reads text."""
        digest, inputs = self.manifest.encoder, self.manifest.inputs
        if digest is None or not isinstance(inputs, Composition):
            return digest
        if inputs.pair:
            return paired(digest, inputs.version)
        return f"{digest}{PARTS}{inputs.parts}" if inputs.parts > 1 else digest


@dataclass(frozen=True, slots=True)
class Seat:
    """A release on one variant of the encoder: a head of a stack.

    Attributes:
        loaded: The release.
        trunk: Encoder and variant whose vectors it reads; ``None`` where it reads text.
    """

    loaded: Loaded
    trunk: TrunkKey | None

    @property
    def bundle(self) -> Digest:
        """Digest of its bundle."""
        return self.loaded.bundle

    @property
    def predictor(self) -> Predictor:
        """What answers."""
        return self.loaded.predictor
