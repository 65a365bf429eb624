"""Which addresses may be called: public ones, unless an admin said otherwise.

A name is resolved once for a connection, every address that it stands for is checked, and the
connection goes to a checked one: a name that means something else a moment later (DNS rebinding)
reaches nothing.
"""

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from milepost.entities.errors import UpstreamError
from milepost.entities.upstream import Endpoint

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_PATH = re.compile(r"[!-~]*")
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv6 addresses that stand for an IPv4 one in their last 32 bits (RFC 6052, RFC 8215)."""

ADVICE = "Only an admin can allow it, by registering the endpoint with --private."


@dataclass(frozen=True, slots=True)
class Site:
    """Where an endpoint is.

    Attributes:
        upstream: Whose endpoint it is, for the words of errors.
        host: Name or address, without brackets.
        port: TCP port.
        secure: Whether by TLS.
        private: Whether addresses that are not public are allowed.
        path: Of the base URL, without a slash at its end.
        query: Of the base URL, without its question mark.
    """

    upstream: str
    host: str
    port: int
    secure: bool
    private: bool
    path: str
    query: str

    @property
    def authority(self) -> str:
        """For the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def site(upstream: str, endpoint: Endpoint) -> Site:
    """Where an endpoint is, from its base URL alone: no name is resolved.

    Raises:
        UpstreamError: ``bad_request`` for what is not a URL or carries a user name;
            ``blocked_address`` for plain HTTP or an address that is not public, where the endpoint
            is not registered as private.
    """
    try:
        parts = urlsplit(endpoint.base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _unusable(upstream) from None
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise _unusable(upstream) from None
    whole = parts.scheme in ("http", "https") and _HOST.fullmatch(host) and port != 0
    if not whole or parts.username is not None or parts.fragment:
        raise _unusable(upstream)
    if not _PATH.fullmatch(parts.path + parts.query):
        raise _unusable(upstream)
    secure = parts.scheme == "https"
    if not secure and not endpoint.private:
        raise UpstreamError(
            "blocked_address",
            f"http://{host} is not encrypted, which only private endpoints may be.",
            upstream=upstream,
            advice=f"Use https. {ADVICE}",
        )
    found = Site(
        upstream, host, port or (443 if secure else 80), secure, endpoint.private,
        parts.path.rstrip("/"), parts.query,
    )  # fmt: skip
    literal = ipaddress.ip_address("127.0.0.1") if _here(host) else _literal(host)
    if literal is not None:
        check(found, literal)
    return found


def _here(host: str) -> bool:
    """Whether a name always stands for this machine (RFC 6761, section 6.3)."""
    return f".{host.lower().rstrip('.')}".endswith(".localhost")


async def addresses(site: Site) -> list[str]:
    """All addresses of a site, each one checked; the caller bounds how long it waits.

    Raises:
        UpstreamError: ``unreachable`` if the name stands for nothing, ``blocked_address`` if any
            of its addresses may not be called.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(site.host, site.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UpstreamError(
            "unreachable", f"The name {site.host} cannot be resolved.", upstream=site.upstream
        ) from None
    checked: dict[str, None] = {}
    for _, _, _, _, place in found:
        address = str(place[0])
        check(site, ipaddress.ip_address(address))
        checked[address] = None
    return list(checked)


def check(site: Site, address: Address) -> None:
    """Refuse an address that is not public, unless the site is registered as private.

    Raises:
        UpstreamError: ``blocked_address``.
    """
    if site.private or public(address):
        return
    place = site.host if site.host == str(address) else f"{site.host} is at {address}, which"
    raise UpstreamError(
        "blocked_address",
        f"{place} is {_kind(address)}, not public.",
        upstream=site.upstream,
        advice=ADVICE,
    )


def public(address: Address) -> bool:
    """Whether an address is one of the open internet (IANA special-purpose registries).

    An IPv6 address that carries an IPv4 one is as public as that.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = _carried(address)
        if inner is not None:
            return public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _kind(address: Address) -> str:
    inner = _carried(address) if isinstance(address, ipaddress.IPv6Address) else None
    address = inner or address
    if address.is_loopback:
        return "this machine"
    if address.is_link_local:
        return "link-local (where clouds keep their machines' credentials)"
    return "of a private network" if address.is_private else "reserved"


def _unusable(upstream: str) -> UpstreamError:
    return UpstreamError(
        "bad_request",
        "Its base URL cannot be used.",
        upstream=upstream,
        advice="It must be like https://host/path, without a user name, password or fragment.",
    )
