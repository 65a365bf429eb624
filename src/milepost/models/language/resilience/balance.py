"""Which endpoint is asked, of those that are ready."""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random

from milepost.entities.upstream import Balance
from milepost.models.language.resilience.lane import Lane
from milepost.models.language.resilience.trial import Trial

PREFIX = 512
"""Characters of a single message that stand for what its conversation begins with."""

Choose = Callable[[Sequence[Lane], Trial, Random], Lane]
"""One of at least one lane that is ready."""


def weighted(lanes: Sequence[Lane], trial: Trial, random: Random) -> Lane:
    """In proportion to the weights."""
    return random.choices(lanes, [lane.weight for lane in lanes])[0]


def fastest(lanes: Sequence[Lane], trial: Trial, random: Random) -> Lane:
    """The quicker of two drawn by weight (the power of two choices: Mitzenmacher, 2001).

    Quicker is the smaller product of the usual latency and of the calls that would be on their way;
    an endpoint that was never asked is asked first.
    """
    one = weighted(lanes, trial, random)
    others = [lane for lane in lanes if lane is not one]
    if not others:
        return one
    other = weighted(others, trial, random)
    return min((one, other), key=lambda lane: (lane.latency or 0.0) * (lane.flying + 1))


def cheapest(lanes: Sequence[Lane], trial: Trial, random: Random) -> Lane:
    """The one that most likely has the conversation's beginning in its prompt cache.

    Endpoints of an upstream have one price; what they read is cheaper where it was read before. So
    conversations that begin alike go to the same endpoint while it has room, by weighted rendezvous
    hashing (Thaler and Ravishankar, 1998): others follow in an order of their own where it is
    full or fails.
    """
    if trial.request is None:
        return weighted(lanes, trial, random)
    messages = trial.request.messages
    digest = blake2b(digest_size=16)
    for message in messages[: max(1, len(messages) - 1)]:
        content = message.content
        text = content if isinstance(content, str) else "".join(p.text or "" for p in content)
        digest.update((text if len(messages) > 1 else text[:PREFIX]).encode())
    return max(lanes, key=lambda lane: _score(lane, digest.digest()))


def _score(lane: Lane, prefix: bytes) -> float:
    drawn = blake2b(prefix, key=lane.name, digest_size=8).digest()
    share = (int.from_bytes(drawn, "big") + 1) / (2**64 + 1)
    return -lane.weight / math.log(share)


BALANCES: dict[Balance, Choose] = {
    "weighted": weighted,
    "fastest": fastest,
    "cheapest": cheapest,
}
