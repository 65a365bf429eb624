"""What was found when an upstream was tried."""

import msgspec

from milepost.entities.language import Tokens
from milepost.entities.model_calls import Outcome
from milepost.entities.money import Micro
from milepost.entities.upstream import Capabilities, Price, Upstream


class EndpointTried(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, asked once.

    Attributes:
        base_url: Where it is.
        region: Where it computes, as registered.
        private: Whether it may be at an address that is not public.
        outcome: How the call ended.
        what: What was wrong, in words; empty where it answered.
        text: The beginning of its answer.
        model: The model as it calls itself.
        tokens: What the call read and wrote.
        micro_usd: What it cost.
        seconds: How long it took.
    """

    base_url: str
    region: str = ""
    private: bool = False
    outcome: Outcome = "ok"
    what: str = ""
    text: str = ""
    model: str = ""
    tokens: Tokens = Tokens()
    micro_usd: Micro = 0
    seconds: float = 0.0


class CapabilityTried(msgspec.Struct, frozen=True, kw_only=True):
    """One capability, tried once.

    Attributes:
        name: A field of ``Capabilities``.
        found: Whether it is there; ``None`` where that could not be found out.
        registered: What the registry said before.
        what: Why not, in words.
    """

    name: str
    found: bool | None = None
    registered: bool | None = None
    what: str = ""


class UpstreamCheck(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream as it was found.

    Attributes:
        upstream: As it is registered now, with what was found.
        price: Of today; ``None`` where none is known.
        endpoints: Each of them, in order.
        capabilities: What it can do, where one of them answered.
        micro_usd: What the whole check cost.
        kept: Number of the version in which the capabilities were kept; ``None`` where nothing new
            was found.
    """

    upstream: Upstream
    price: Price | None = None
    endpoints: tuple[EndpointTried, ...]
    capabilities: tuple[CapabilityTried, ...] = ()
    micro_usd: Micro = 0
    kept: int | None = None

    @property
    def works(self) -> bool:
        """Whether every endpoint answered."""
        return all(each.outcome == "ok" for each in self.endpoints)

    @property
    def found(self) -> Capabilities:
        """What it can do, as the registry has it from now on."""
        return self.upstream.capabilities
