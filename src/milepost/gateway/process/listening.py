"""The listening socket, with clear words where there can be none."""

import errno
import ipaddress
import os
import socket

from milepost.entities.errors import InputError

BACKLOG = 4096
"""Connections that the kernel keeps until a worker takes them; it may keep fewer itself."""


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A listening socket.

    Args:
        host: Address or name of this machine.
        port: Port; 0 takes a free one.
        reuse_port: Whether another process may listen on the same port, so that two servers can
            take turns without a gap.

    Raises:
        InputError: If that is not possible, with what to do.
    """
    family, address = _resolve(host, port)
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - socket's own signature
    except OSError as error:
        listening.close()
        raise _refused(host, port, error) from error
    return listening


def reserve(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A socket that keeps a port for workers, each of which listens on it by itself.

    Args:
        host: Address or name of this machine.
        port: Port; 0 takes a free one.
        reuse_port: Whether another server may be listening there.

    Raises:
        InputError: If the port cannot be had.
    """
    family, address = _resolve(host, port)
    try:
        if not reuse_port:
            with socket.socket(family, socket.SOCK_STREAM) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(address)
        kept = socket.socket(family, socket.SOCK_STREAM)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(address)
    except OSError as error:
        raise _refused(host, port, error) from error
    return kept


def check_insecure(host: str) -> None:
    """Nothing, if a server without keys can be reached from this machine alone.

    Raises:
        InputError: If others can reach it.
    """
    _, address = _resolve(host, 0)
    if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise InputError(
            f"--insecure lets everybody ask who can reach {host}.",
            where="--insecure",
            advice="Serve on --host 127.0.0.1, or make a key with `milepost keys create` and "
            "leave --insecure out.",
        )


def url(listening: socket.socket) -> str:
    """Where a socket listens, as a URL that can be used on this machine."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1" if listening.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"the host {host[:100]!r} is not known.",
            where="--host",
            advice="Name an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all.",
        ) from error
    # IPv4 first where a name such as localhost has both: it is what clients try.
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _refused(host: str, port: int, error: OSError) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(
            f"port {port} of {host} is in use.",
            where="--port",
            advice="Stop what listens there, or choose another port; 0 takes a free one.",
        )
    if error.errno == errno.EACCES:
        return InputError(
            f"port {port} is for privileged users.",
            where="--port",
            advice="Choose a port from 1024 on, such as 8400.",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return InputError(
            f"this machine has no address {host}.",
            where="--host",
            advice="Choose one that it has, or 0.0.0.0 for all.",
        )
    said = os.strerror(error.errno) if error.errno else str(error)
    return InputError(f"{host}:{port} cannot be listened on: {said}.", where="--host")
