"""A tokenizer with fewer tokens: those that texts use, the commonest, and single characters.

Words whose own token is gone are read in smaller pieces. Knows the JSON of the ``tokenizers``
library and nothing of models.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

_PREFIX = "##"


def pruned(tokenizer: str, used: Sequence[int], common: int) -> tuple[str, NDArray[np.int64]]:
    """The tokenizer with fewer tokens, and the old id of each of its tokens.

    Only WordPiece can be pruned safely, since each of its tokens stands for itself; of any other
    model, all tokens are kept.

    Args:
        tokenizer: Its JSON.
        used: Ids of tokens to keep.
        common: How many of the first ids to keep besides: vocabularies are sorted by frequency.

    Returns:
        The JSON, and ``(v,) int64``: rows of an embedding table that stay, in their new order.
    """
    parts = msgspec.json.decode(tokenizer, type=dict[str, Any])
    model: dict[str, Any] = parts["model"]
    added = [int(each["id"]) for each in parts.get("added_tokens") or []]
    if model.get("type") != "WordPiece":
        return tokenizer, np.arange(1 + max(_ids(model, added)), dtype=np.int64)
    vocabulary = cast("dict[str, int]", model["vocab"])
    kept = set(used) | set(added) | set(sorted(vocabulary.values())[:common])
    kept |= {i for token, i in vocabulary.items() if _always(token, str(model["unk_token"]))}
    rows = np.array(sorted(kept), np.int64)
    new = {int(old): at for at, old in enumerate(rows)}
    model["vocab"] = {
        token: new[i] for token, i in sorted(vocabulary.items(), key=lambda e: e[1]) if i in new
    }
    for each in parts.get("added_tokens") or []:
        each["id"] = new[int(each["id"])]
    parts["post_processor"] = _renumbered(parts.get("post_processor"), new)
    parts["padding"] = None
    parts["truncation"] = None
    return msgspec.json.encode(parts).decode(), rows


def _always(token: str, unknown: str) -> bool:
    bare = token.removeprefix(_PREFIX)
    return token == unknown or (len(bare) == 1 and bare.isascii())


def _ids(model: Mapping[str, Any], added: Sequence[int]) -> list[int]:
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        return [*cast("dict[str, int]", vocabulary).values(), *added]
    return [len(cast("list[object]", vocabulary)) - 1, *added]


def _renumbered(processor: Any, new: Mapping[int, int]) -> Any:
    """The steps that put special tokens around a text, with the new ids."""
    if not isinstance(processor, dict):
        return processor
    found: dict[str, Any] = dict(cast("dict[str, Any]", processor))
    for name in ("cls", "sep"):
        if name in found:
            token, i = found[name]
            found[name] = [token, new[int(i)]]
    special = found.get("special_tokens")
    if isinstance(special, dict):
        found["special_tokens"] = {
            token: {**each, "ids": [new[int(i)] for i in each["ids"]]}
            for token, each in cast("dict[str, dict[str, Any]]", special).items()
        }
    inner = found.get("processors")
    if isinstance(inner, list):
        found["processors"] = [_renumbered(each, new) for each in cast("list[Any]", inner)]
    return found
