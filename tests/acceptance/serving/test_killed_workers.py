"""Workers that are killed or told to end under load, and a server that takes over from another."""

import signal
import socket
import time

import pytest

import milepost as mp


def test_a_killed_worker_costs_what_it_had_in_its_hands(
    improved, serve, load, answering, steps, figures
):
    server = serve(improved, "--insecure", "--workers", 2)
    first = {each.pid for each in answering(server)}
    assert len(first) == 2
    with load(server.address, rate=200) as good:
        good.until(100)
        victim = answering(server)[0]
        victim.kill()
        good.until(500)
        steps(lambda: len({each.pid for each in answering(server)} - {victim.pid}) == 2, 60)
        good.until(1200)
    traffic = good.stop()
    figures(good_share=traffic.share, failed=traffic.failed.total(), p99_ms=traffic.p(0.99) * 1e3)
    # What it had in its hands is gone: at most one request of each client. How many that are
    # depends on how fast the machine is; ``python -m bench faults`` keeps the share.
    assert traffic.failed.total() <= 8, traffic.failed
    assert set(traffic.failed) <= {"ConnectionResetError", "BrokenPipeError", "IncompleteReadError"}
    assert server.stop() == 0


@pytest.mark.slow
def test_what_was_acknowledged_in_strict_mode_is_there_after_a_kill(
    improved, serve, load, answering, strict, missing, figures
):
    strict(improved)
    server = serve(improved, "--insecure", "--workers", 2)
    with load(server.address, rate=100) as good:
        good.until(100)
        for each in answering(server):
            each.kill()
        good.until(100)
    traffic = good.stop()
    for each in answering(server):
        each.kill()
    server.process.kill()
    server.process.wait()
    lost = missing(improved, traffic.traces)
    figures(acknowledged=len(traffic.traces), lost=len(lost), good_share=traffic.share)
    assert lost == []
    assert len(traffic.traces) >= 200


@pytest.mark.slow
def test_swaps_and_a_handover_under_load_fail_nothing(
    improved, serve, load, answering, steps, figures
):
    """200 requests a second, 20 swaps, a worker that is told to end, a server that takes over."""
    port = free_port()
    server = serve(improved, "--insecure", "--workers", 2, "--reuse-port", "--port", port)
    space = mp.Workspace.open(improved)
    seconds: list[float] = []
    with load(server.address, rate=200, clients=16, inputs=3) as good:
        good.until(100)
        for at in range(20):
            number = 1 + at % 2
            good.traffic.first.pop(number, None)
            space.promote("route", number)
            began = time.monotonic()
            steps(lambda number=number: number in good.traffic.first, 10)
            seconds.append(good.traffic.first[number] - began)
        answering(server)[0].send_signal(signal.SIGTERM)
        good.until(200)
        steps(lambda: len(answering(server)) == 2, 60)
        other = serve(improved, "--insecure", "--workers", 1, "--reuse-port", "--port", port)
        assert server.stop() == 0
        good.until(200)
    traffic = good.stop()
    assert other.process.poll() is None
    figures(
        good=traffic.good, failed=traffic.failed.total(), mixed=traffic.mixed,
        seconds_to_follow=max(seconds), p99_ms=traffic.p(0.99) * 1e3,
    )  # fmt: skip
    assert not traffic.failed
    assert traffic.mixed == 0
    assert set(traffic.releases) == {1, 2}
    assert max(seconds) < 2.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
