"""Wire formats: pure functions from requests to HTTP bodies and back.

No network, no clock, and no key but the one that is put into a header.
"""

from milepost.entities.upstream import Wire as WireName
from milepost.models.language.wires.anthropic import Anthropic
from milepost.models.language.wires.base import Wire
from milepost.models.language.wires.gemini import Gemini
from milepost.models.language.wires.openai import OpenAI
from milepost.models.language.wires.openai_responses import OpenAIResponses

WIRES: dict[WireName, Wire] = {
    "openai": OpenAI(),
    "openai-responses": OpenAIResponses(),
    "anthropic": Anthropic(),
    "gemini": Gemini(),
}
"""Formats that are spoken over HTTP, by their names; they hold no state."""
