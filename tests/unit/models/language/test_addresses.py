"""Which addresses are public, and which base URLs can be used."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import UpstreamError
from milepost.entities.upstream import Endpoint
from milepost.models.language.addresses import public, site

NOT_PUBLIC = (
    "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1",  # noqa: S104
    "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::",
)  # fmt: skip
PUBLIC = ("93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


def test_special_addresses_are_not_public() -> None:
    assert [place for place in NOT_PUBLIC if public(ipaddress.ip_address(place))] == []
    assert [place for place in PUBLIC if not public(ipaddress.ip_address(place))] == []


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_as_public_as_that(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for outer in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert public(ipaddress.IPv6Address(outer)) == public(inner)


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://models.example/v1", "models.example/v1", "https://", "https://user:pw@models.example",
        "https://models.example:99999/", "https://models.example:0/", "https://models.example/v1#a",
        "https://models.example/v1\r\nX: y", "https://mod els.example/", "https://[::1/v1", "",
        "https://models.example/caf\u00e9", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_base_url(base_url: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        site("big", Endpoint(base_url=base_url, private=True))
    assert caught.value.outcome == "bad_request"
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "models.localhost"])
def test_a_name_of_this_machine_is_not_public_before_it_is_resolved(host: str) -> None:
    url = f"https://{host}/v1"
    with pytest.raises(UpstreamError) as caught:
        site("big", Endpoint(base_url=url))
    assert caught.value.outcome == "blocked_address"
    assert site("big", Endpoint(base_url=url, private=True)).secure
    assert site("big", Endpoint(base_url="https://mylocalhost/v1")).secure


def test_a_base_url_is_taken_apart_once() -> None:
    found = site("big", Endpoint(base_url="https://Models.Example/openai/v1/?api-version=1"))
    assert (found.host, found.port, found.secure) == ("models.example", 443, True)
    assert (found.path, found.query) == ("/openai/v1", "api-version=1")
    assert found.authority == "models.example"
    inside = site("big", Endpoint(base_url="http://[::1]:8080/v1", private=True))
    assert (inside.host, inside.authority) == ("::1", "[::1]:8080")
    named = site("big", Endpoint(base_url="https://b\u00fccher.example/v1"))
    assert named.host == "xn--bcher-kva.example"
