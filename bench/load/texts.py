"""Texts to ask about: as many encoder tokens as wanted, no two alike."""

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path


@cache
def words(tokenizer: Path) -> tuple[str, ...]:
    """Words that a WordPiece tokenizer keeps in one piece; read from its ``tokenizer.json``."""
    vocabulary = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    return tuple(sorted(w for w in vocabulary if w.isascii() and w.isalpha() and len(w) > 2))


def texts(count: int, tokens: int, known: Sequence[str], seed: int) -> list[str]:
    """``count`` texts of exactly ``tokens`` tokens, the two special ones included."""
    rng = random.Random(seed)  # noqa: S311 — not for secrets
    return [" ".join(rng.choices(known, k=tokens - 2)) for _ in range(count)]
