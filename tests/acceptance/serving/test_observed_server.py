"""What a server of several workers tells Prometheus, asked of any of them."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def samples(server):
    with urllib.request.urlopen(f"{server.address}/metrics") as reply:  # noqa: S310 - its own server
        assert reply.headers["content-type"].startswith("text/plain")
        text = reply.read().decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def total(found, name, **labels):
    return sum(s.value for s in found if s.name == name and labels.items() <= s.labels.items())


def test_any_worker_tells_of_all_even_of_one_that_was_killed(
    improved, serve, load, answering, steps
):
    server = serve(improved, "--insecure", "--workers", 2)
    with load(server.address, rate=100) as good:
        good.until(60)
    asked = good.stop()
    assert not asked.failed

    def answered(found):
        labels = {"task": "route", "release": "2", "protocol": "native", "status": "ok"}
        return total(found, "milepost_requests_total", **labels)

    for _ in range(4):
        assert answered(samples(server)) == asked.good
    found = samples(server)
    assert total(found, "milepost_answers_total", outcome="answered") == asked.good
    assert total(found, "milepost_request_seconds_count", task="route") == asked.good
    assert total(found, "milepost_batch_texts_sum") >= 1
    hits, misses = (total(found, f"milepost_cache_{name}_total") for name in ("hits", "misses"))
    assert hits + misses >= asked.good
    assert total(found, "milepost_channel_release", task="route", channel="production") == 2
    assert total(found, "milepost_http_requests_total", status="200") >= asked.good
    assert all(s.value > 1e6 for s in found if s.name == "milepost_worker_memory_bytes")

    answering(server)[0].kill()
    steps(lambda: len(answering(server)) == 2, 60)
    with load(server.address, rate=100) as good:
        good.until(20)
    more = good.stop()
    steps(lambda: answered(samples(server)) == asked.good + more.good, 10)
    steps(lambda: total(samples(server), "milepost_ready") == 2, 30)
    assert server.stop() == 0
