"""Clients that mean harm or are broken: good ones beside them notice nothing, memory is bounded."""

import contextlib
import gzip
import json
import socket
import threading
import time

import pytest

MIB = 2**20
PATH = "/v1/tasks/route/predict"


def head(server, *lines: str) -> bytes:
    return "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def connect(server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=30)


def reply(connection: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            got += piece
    return got


@pytest.fixture
def server(improved, serve):
    return serve(improved, "--insecure")


def test_slow_clients_cost_nobody_anything(server, load, memory, figures):
    """500 connections that send a byte now and then (slowloris)."""
    with load(server.address, rate=100) as good:
        good.until(50)
        with memory(server) as taken:
            slow = [connect(server) for _ in range(500)]
            for each in slow:
                each.sendall(head(server, "Content-Length: 100")[:-2])
            for _ in range(3):
                for each in slow:
                    with contextlib.suppress(OSError):
                        each.sendall(b"X")
                good.until(50)
        for each in slow:
            each.close()
        good.until(20)
    traffic = good.stop()
    figures(good_share=traffic.share, memory_mib=taken.grown / MIB, p99_ms=traffic.p(0.99) * 1e3)
    assert traffic.share >= 0.999, traffic.failed
    assert taken.grown < 100 * MIB


def endless(server, size: int, stop: threading.Event) -> tuple[int, bytes]:
    """Send a chunked body of ``size`` bytes; how much was taken, and the answer."""
    piece = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
    sent = 0
    with connect(server) as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        with contextlib.suppress(OSError):
            while sent < size and not stop.is_set():
                connection.sendall(piece)
                sent += MIB
        return sent, reply(connection)


def test_an_endless_body_is_cut_off(server, load, memory, figures):
    """1 GiB in chunks."""
    with load(server.address, rate=100) as good:
        good.until(50)
        with memory(server) as taken:
            sent, answer = endless(server, 1024 * MIB, threading.Event())
            good.until(50)
    traffic = good.stop()
    figures(
        good_share=traffic.share, memory_mib=taken.grown / MIB, p99_ms=traffic.p(0.99) * 1e3,
        taken_mib=sent / MIB,
    )  # fmt: skip
    assert traffic.share >= 0.999, traffic.failed
    assert sent < 256 * MIB
    assert answer == b"" or b" 413 " in answer.split(b"\r\n")[0]
    assert taken.grown < 100 * MIB


def test_a_compressed_bomb_is_not_unpacked(server, load, memory, figures):
    """A megabyte that would become a gigabyte."""
    # Members one after the other are one file (RFC 1952, section 2.2).
    bomb = gzip.compress(b" " * (64 * MIB)) * 16
    assert len(bomb) < 2 * MIB
    with load(server.address, rate=100) as good:
        good.until(50)
        with memory(server) as taken:
            for _ in range(4):
                with connect(server) as connection:
                    lines = (f"Content-Length: {len(bomb)}", "Content-Encoding: gzip")
                    with contextlib.suppress(OSError):
                        connection.sendall(head(server, *lines, "Connection: close") + bomb)
                    assert b" 415 " in reply(connection).split(b"\r\n")[0]
            good.until(50)
    traffic = good.stop()
    figures(good_share=traffic.share, memory_mib=taken.grown / MIB, p99_ms=traffic.p(0.99) * 1e3)
    assert traffic.share >= 0.999, traffic.failed
    assert taken.grown < 64 * MIB


@pytest.mark.slow
def test_a_client_that_never_reads_holds_nothing_up(server, load, memory, figures):
    """Pipelined questions whose answers nobody takes."""
    body = json.dumps({"inputs": ["where is my parcel"] * 50}).encode()
    request = head(server, f"Content-Length: {len(body)}") + body
    with load(server.address, rate=100) as good:
        good.until(50)
        with memory(server) as taken:
            deaf = []
            for _ in range(20):
                connection = connect(server)
                connection.setblocking(False)
                deaf.append(connection)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for each in deaf:
                    with contextlib.suppress(OSError):
                        each.send(request * 10)
                good.until(5)
        for each in deaf:
            each.close()
        good.until(20)
    traffic = good.stop()
    figures(good_share=traffic.share, memory_mib=taken.grown / MIB, p99_ms=traffic.p(0.99) * 1e3)
    assert traffic.share >= 0.999, traffic.failed
    assert taken.grown < 150 * MIB
