"""A real server that speaks every wire format, and answers as it was told to."""

from collections.abc import Iterator

import pytest
from tests.contract.wires.calls import WIRES, Scripted

from milepost.entities.upstream import Wire
from milepost.testing.upstreams import UpstreamServer, serving
from milepost.testing.upstreams.anthropic import Anthropic
from milepost.testing.upstreams.gemini import Gemini
from milepost.testing.upstreams.responses import OpenAIResponses


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def server(scripted: Scripted) -> Iterator[UpstreamServer]:
    formats = (OpenAIResponses(), Anthropic(), Gemini())
    with serving(scripted, formats=formats) as running:
        yield running


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param
