"""What the engine tells whoever watches it: one call per batch, none per text."""

from dataclasses import dataclass
from typing import Protocol

TEXT = "text"
"""Stands for the encoder of a batch that none read."""


class Observer(Protocol):
    """Watches the engine. Called from engine threads and from those that submit; must not block.

    What it raises is dropped.
    """

    def batch(self, encoder: str, texts: int, tokens: int, seconds: float, waited: float) -> None:
        """A batch was answered.

        Args:
            encoder: Variant of the encoder; ``TEXT`` where none ran.
            texts: Different texts in it.
            tokens: Tokens that were encoded, without padding.
            seconds: From the moment that it was formed until its answers were there.
            waited: Longest time that one of its texts had waited for that, in seconds.
        """
        ...

    def cache(self, hits: int, misses: int) -> None:
        """So many texts of one submission were answered from the cache, so many were not."""
        ...


@dataclass(slots=True)
class Counters:
    """What the engine has done since it was made. Written under its lock, read by anybody.

    Attributes:
        texts: Texts accepted.
        hits: Of these, answered from the cache.
        joined: Of these, asked while the same text was on its way, and encoded once with it.
        known: Of these, whose vector was in the cache, so that only heads ran.
        encoded: Texts that were encoded.
        tokens: Their tokens.
        batches: Batches answered.
        late: Texts dropped because their deadline had passed.
        refused: Texts refused because the queue was full.
        failed: Texts whose encoder failed.
        head_failures: Answers that a predictor failed to give.
        busy_seconds: Thread seconds spent on batches.
    """

    texts: int = 0
    hits: int = 0
    joined: int = 0
    known: int = 0
    encoded: int = 0
    tokens: int = 0
    batches: int = 0
    late: int = 0
    refused: int = 0
    failed: int = 0
    head_failures: int = 0
    busy_seconds: float = 0.0
