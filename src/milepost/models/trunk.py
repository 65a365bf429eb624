"""One encoder in one variant, as a server runs it: tokens in, vectors and token states out.

Knows the graph and the tokenizer; knows no queue, no thread of its own, no cache and no task.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.adapters import Adapter, AdapterStacks, require_same
from milepost.models.graphs.layout import Feeds, flat, padded
from milepost.models.packaged import Package, read_package
from milepost.models.words import WordTokens, word_tokens

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

_VECTORS, _STATES, _FLAT_STATES = "vectors", "token_states", "flat_states"

Adapted = Callable[[tuple[str, ...]], Package]
"""Gives the package of an encoder whose graph takes adapters of these layers, as ``0.query``."""

_CHARACTERS_PER_TOKEN = 32
_MAX_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """What one pass gives.

    Attributes:
        vectors: ``(n, d) float32`` of unit length, in the order of the rows.
        states: Per row the last hidden states ``(tokens, d) float32``; ``None`` unless asked for.
    """

    vectors: NDArray[np.float32]
    states: list[NDArray[np.float32]] | None = None


class Trunk:
    """An encoder of fixed weights. Thread safe.

    Each call runs on the one thread that makes it; one caller per core shares the session, which
    does more than one call with many threads. The same text gives the same vector within 1e-5
    whatever is beside it.

    Args:
        package: The verified package; its bytes are not kept. Where its own graph takes adapters,
            that one runs every row.
        adapted: Gives the package of the same encoder and variant whose graph takes adapters; it
            is asked when the first adapter of these layers comes. ``None`` where none can come.
    """

    def __init__(self, package: Package, adapted: Adapted | None = None) -> None:
        from tokenizers import Tokenizer

        self._manifest = package.manifest
        self.directory: Path = package.directory
        self._session = None if package.manifest.adapts else open_session(package)
        self._adapted = _Adapted(package, adapted)
        try:
            self._tokenizer = Tokenizer.from_str(package.tokenizer)
        except Exception as error:  # tokenizers raises nothing narrower
            raise _cannot_load(package, error) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._manifest.max_tokens)

    @property
    def name(self) -> str:
        """Name for people."""
        return self._manifest.name

    @property
    def digest(self) -> str:
        """SHA-256 over weights, tokenizer, pooling, normalisation and token limit."""
        return self._manifest.digest

    @property
    def variant(self) -> str:
        """Numeric variant that runs: ``fp32`` or ``int8``."""
        return self._manifest.variant

    @property
    def exporter(self) -> str:
        """Which exporter wrote the graph. Exporters agree within 1e-5, not to the last bit."""
        return self._manifest.exporter

    @property
    def dimensions(self) -> int:
        """Length ``d`` of a vector."""
        return self._manifest.dimensions

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included; the rest of a text is not read."""
        return self._manifest.max_tokens

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per text, at least one and at most ``max_tokens``. Any thread may call.

        A tokenizer reads all of a text before it truncates. A long text is therefore cut first,
        and cut later again when the part did not fill all tokens. Of a text longer than a million
        characters only those before are read.
        """
        cut = self.max_tokens * _CHARACTERS_PER_TOKEN
        tokens = self._ids([_encodable(text[:cut]) for text in texts])
        for i, text in enumerate(texts):
            size = cut
            while len(tokens[i]) < self.max_tokens and size < min(len(text), _MAX_CHARACTERS):
                size = min(size * 8, _MAX_CHARACTERS)
                tokens[i] = self._ids([_encodable(text[:size])])[0]
        return tokens

    def word_tokens(self, texts: Sequence[str]) -> list[WordTokens]:
        """Tokens of each text by word, all of a text in windows. Any thread may call."""
        texts = [_encodable(text[:_MAX_CHARACTERS]) for text in texts]
        found = self._windows.encode_batch(texts)
        pad = self._manifest.pad_id
        return [word_tokens(text, each, pad) for text, each in zip(texts, found, strict=True)]

    def package_for(self, adapters: Sequence[Adapter]) -> Package:
        """The package whose graph takes these adapters, verified; the plain one for none.

        Raises:
            EncoderError: As ``forward``.
            CorruptError: If its files have changed or gone since it was opened.
        """
        found = self._adapted.ready(adapters).directory if adapters else self.directory
        return read_package(found)

    def get_ready(self, adapters: Sequence[Adapter]) -> None:
        """Open the graph that takes these adapters, unless it is open; exports it the first time.

        ``forward`` does so too; called before, no batch has to wait for it.

        Raises:
            EncoderError: As ``forward``.
        """
        if adapters:
            self._adapted.ready(adapters)

    def forward(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        states: bool = False,
        adapters: Sequence[Adapter | None] | None = None,
    ) -> Passed:
        """One pass of all rows together, on the calling thread.

        Args:
            tokens: Ids per row, each at least one and at most ``max_tokens``; at least one row.
            states: Whether to give the states of the tokens too.
            adapters: Per row the adapter that it runs with; ``None`` for none. Where no row has
                one, the plain graph runs.

        Raises:
            EncoderError: If an adapter does not belong to this encoder, the encoder takes none, or
                its graph cannot run these tokens.
        """
        session, feeds = self._session, self._feeds(tokens)
        used = [each for each in adapters or () if each is not None]
        if session is None or used:
            _, _, session, stacks = self._adapted.ready(used)
            feeds |= stacks.feeds([len(row) for row in tokens], adapters or [None] * len(tokens))
        flat_layout = self._manifest.layout == "flat"
        wanted = [_VECTORS, _FLAT_STATES if flat_layout else _STATES] if states else [_VECTORS]
        found = ran(session, wanted, feeds, self.name)
        if not states:
            return Passed(found[0])
        if not flat_layout:
            return Passed(found[0], [found[1][i, : len(row)] for i, row in enumerate(tokens)])
        ends = np.cumsum([len(row) for row in tokens])[:-1]
        return Passed(found[0], np.split(found[1], ends))

    def padded_cost(self, lengths: Sequence[int]) -> int:
        """What a pass of rows of these lengths costs, in tokens of a pass without padding.

        In the flat layout padding costs attention and its copies alone, which were an eighth of a
        pass in INT8 at 32 tokens.
        """
        whole = len(lengths) * max(lengths, default=0)
        if self._manifest.layout == "padded":
            return whole
        real = sum(lengths)
        return real + (whole - real) // 8

    def _feeds(self, tokens: Sequence[Sequence[int]]) -> Feeds:
        if self._manifest.layout == "flat":
            return flat(tokens)
        return padded(tokens, self._manifest.pad_id)

    @cached_property
    def _windows(self) -> "Tokenizer":
        """The tokenizer with windows that overlap by a quarter."""
        from tokenizers import Tokenizer

        found: Tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        most = self._manifest.max_tokens
        found.enable_truncation(most, stride=max(0, most // 4 - 2))
        return found

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        empty = [self._manifest.pad_id]
        return [encoding.ids or empty for encoding in self._tokenizer.encode_batch_fast(texts)]


class _Open(NamedTuple):
    """A graph with inputs for adapters."""

    directory: Path
    layers: frozenset[str]
    session: "InferenceSession"
    stacks: AdapterStacks


class _Adapted:
    """The graph with inputs for adapters, opened when it is first needed. Thread safe.

    A graph takes adapters of certain layers. When one comes that changes more, the graph of all
    that came so far takes its place; a pass that runs ends on the one that it began with.
    """

    def __init__(self, plain: Package, find: Adapted | None) -> None:
        self._digest = plain.manifest.digest
        self._find = find
        self._lock = threading.Lock()
        self._made = _with_stacks(plain) if plain.manifest.adapts else None

    def ready(self, adapters: Sequence[Adapter]) -> _Open:
        for each in adapters:
            require_same(each, self._digest)
        wanted = {name for each in adapters for name in each.down}
        if self._made is not None and wanted <= self._made.layers:
            return self._made
        with self._lock:
            made = self._made
            if made is None or not wanted <= made.layers:
                if self._find is None:
                    raise EncoderError(
                        f"this encoder takes no adapters of {', '.join(sorted(wanted)[:6])}.",
                        advice="Open it from its own folder, or export the release again.",
                    )
                layers = wanted if made is None else wanted | made.layers
                made = self._made = _with_stacks(self._find(tuple(sorted(layers))))
            return made


def _with_stacks(package: Package) -> _Open:
    session = open_session(package)
    sizes: dict[str, list[int | str]] = {each.name: each.shape for each in session.get_inputs()}
    shapes = {
        name.removeprefix("adapter.").removesuffix(".down"): (
            int(shape[1]),
            int(sizes[name.removesuffix("down") + "up"][2]),
        )
        for name, shape in sizes.items()
        if name.endswith(".down")
    }
    stacks = AdapterStacks(package.manifest.digest, shapes)
    layers = frozenset(package.manifest.adapts)
    return _Open(package.directory, layers, session, stacks)


def open_session(package: Package) -> "InferenceSession":
    """The graph of a package, ready to run on the thread that calls it.

    Raises:
        EncoderError: If it cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, in the same words
    try:
        session = onnxruntime.InferenceSession(
            package.model,
            options,
            providers=["CPUExecutionProvider"],
            # The fused operator is slower on CPUs than addition and normalisation apart.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # onnxruntime has no one base for what it raises
        raise _cannot_load(package, error) from error
    # It would hold the file's bytes for its whole life, in case that it must fall back to another
    # provider: 60 to 90 MB of a server's memory, and there is no other.
    vars(session)["_model_bytes"] = None
    return session


def ran(
    session: "InferenceSession", wanted: Sequence[str] | None, feeds: Feeds, name: str
) -> list[NDArray[np.float32]]:
    """What a graph gives.

    Args:
        session: The graph.
        wanted: Names of its outputs; ``None`` for all.
        feeds: Its inputs by name.
        name: Of the encoder, for people.

    Raises:
        EncoderError: If it cannot run them, such as more tokens than its weights have positions.
    """
    try:
        return cast("list[NDArray[np.float32]]", session.run(wanted, feeds))
    except Exception as error:  # onnxruntime has no one base for what it raises
        shape = " x ".join(map(str, next(iter(feeds.values())).shape))
        raise EncoderError(
            f"the encoder {name!r} failed on an input of {shape}: {' '.join(str(error).split())}.",
            where="encoder",
            advice="Its configuration may promise more than its weights can do, such as positions: "
            "mend its config.json, or name another encoder.",
        ) from error


def _cannot_load(package: Package, error: Exception) -> EncoderError:
    return EncoderError(
        f"the packaged encoder cannot be loaded: {error}",
        where=str(package.directory),
        advice="Update onnxruntime and tokenizers, or export the encoder again.",
    )


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
