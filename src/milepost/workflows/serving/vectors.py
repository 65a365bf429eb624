"""The encoder itself as something to ask: texts in, vectors out, through the same engine."""

from collections.abc import Callable, Sequence

from milepost.entities.errors import WorkspaceError
from milepost.models.trunk import Trunk
from milepost.predictors.preparation import Preparation
from milepost.predictors.preparation.preparing import require_something
from milepost.serving.asking import Embedded, ServedEncoder
from milepost.serving.engine.engine import Engine


class EncoderVectors:
    """Vectors of the encoder that the tasks read. Used on one event loop.

    The variant is chosen when an encoder is first there and stays to the end of the process, so
    that vectors can be compared with each other.

    Args:
        engine: Encodes.
        trunks: Gives the encoders that are in memory, the one for new contests first.
        prepare: Cleans and cuts texts.
    """

    def __init__(
        self, engine: Engine, trunks: Callable[[], Sequence[Trunk]], prepare: Preparation
    ) -> None:
        self._engine = engine
        self._trunks = trunks
        self._prepare = prepare
        self._chosen: Trunk | None = None

    @property
    def served(self) -> ServedEncoder | None:
        """The encoder; ``None`` where no task reads vectors."""
        trunk = self._trunk()
        if trunk is None:
            return None
        return ServedEncoder(
            name=trunk.name, dimensions=trunk.dimensions, max_tokens=trunk.max_tokens
        )

    async def embed(self, texts: Sequence[str], deadline: float | None) -> Embedded:
        """Vectors of texts.

        Raises:
            WorkspaceError: If no task reads vectors.
            InputError: If a text is empty.
            OverloadedError: If the queue is full.
            LateError: If the deadline passed.
        """
        trunk = self._trunk()
        if trunk is None:
            raise WorkspaceError(
                "there are no vectors here: no task in production reads them.",
                advice="Run `milepost improve`, and put a release with an encoder into production.",
            )
        key = trunk.digest, trunk.variant
        prepared = self._prepare(texts)
        require_something(texts, prepared)
        vectors, tokens, spared = await self._engine.embed(prepared, key, deadline)
        return Embedded(vectors, tokens, trunk.name, spared)

    def _trunk(self) -> Trunk | None:
        if self._chosen is None:
            # The fast one where any task uses it: then the other may not be in memory at all.
            trunks = self._trunks()
            first = [each for each in trunks if each.digest == trunks[0].digest]
            first.sort(key=lambda each: each.variant == "fp32")
            self._chosen = first[0] if first else None
        return self._chosen
