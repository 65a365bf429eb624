"""What a candidate asked language models, and under which price and terms."""

import msgspec

from milepost.entities.language import Tokens
from milepost.entities.money import Micro
from milepost.entities.prompts import PromptVersion
from milepost.entities.upstream import Price, UpstreamVersion


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What one candidate asked one upstream until it was fitted and judged.

    A request that was made several times counts once, and one that a cache of ours answered counts
    as it would have been billed: the sums say what the candidate takes, whoever asked before it.

    Attributes:
        upstream: Name of the upstream.
        model: The model as its provider calls it.
        price: What its tokens cost on the day, and since when; ``None`` where it was not known.
        licence: Of the model.
        terms: Where its terms of use stand.
        requests: Different requests.
        failed: Of these, how many got no answer.
        tokens: What they read and wrote.
        micro_usd: What they cost.
        version: SHA-256 of the upstream's record, which tells the version; empty in records of
            before it was kept.
    """

    upstream: str
    model: str
    price: Price | None = None
    licence: str = ""
    terms: str = ""
    requests: int = 0
    failed: int = 0
    tokens: Tokens = Tokens()
    micro_usd: Micro = 0
    version: str = ""


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """What single answers of a predictor took, as they were given; the encoder is not in it.

    Attributes:
        n: Answers behind the times.
        p50_ms: Median wall time of one, in ms: its own work, and the slowest call of each round.
        p95_ms: 95th percentile.
        cpu_seconds_per_1k: Processor time of a thousand.
        micro_usd_per_1k: What the calls of a thousand cost, in micro-USD.
    """

    n: int
    p50_ms: float
    p95_ms: float
    cpu_seconds_per_1k: float
    micro_usd_per_1k: float


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a predictor with what it asks: a rung of a cascade, or all of the predictor.

    Attributes:
        name: Of the rung; empty where it is all of the predictor.
        upstreams: Language models that it asks, as they were in its contest.
        prompts: What it asks them.
    """

    name: str = ""
    upstreams: tuple[UpstreamVersion, ...] = ()
    prompts: tuple[PromptVersion, ...] = ()
