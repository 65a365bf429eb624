"""What callers of a server are told of an upstream that failed."""

import pytest

from milepost.entities.errors import UpstreamError
from milepost.gateway.errors import refusal

PLACE = "10.0.0.7:8443"


@pytest.mark.parametrize(
    ("outcome", "status", "told"),
    [
        ("unreachable", 502, "Upstream big: it cannot be reached."),
        ("timeout", 504, "Upstream big: it did not answer in time."),
        ("blocked_address", 502, "Upstream big: its address may not be used."),
    ],
)
def test_callers_do_not_learn_where_an_upstream_is(outcome, status, told):
    what, advice = f"No connection to {PLACE}.", f"Register {PLACE} with --private."
    refused = refusal(UpstreamError(outcome, what, upstream="big", advice=advice), "r1")
    assert (refused.status, refused.detail.message) == (status, told)
    assert "upstreams check" in str(refused.detail.hint)
    assert PLACE not in str(refused.detail)


def test_what_callers_can_mend_is_told_whole():
    error = UpstreamError("too_long", "12,000 tokens are too many.", upstream="big", advice="Cut.")
    refused = refusal(error, "r1")
    assert refused.detail.message == "Upstream big: 12,000 tokens are too many."
    assert refused.detail.hint == "Cut."
