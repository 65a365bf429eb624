"""A prompted release and a cascade, served by a real server over a real upstream that may fail."""

import csv
import json
import threading
import time
from itertools import count

import httpx
import pytest

from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.language.inside.faults import Fault
from milepost.testing.upstreams import serving
from milepost.workflows.opening import open_context

KINDS = {"fruit": "ripe apples and pears of", "tool": "a hammer and saw from"}
HARD = ("zonk", "blix", "fram", "quon")
EASY_TEXT, HARD_TEXT = "a hammer and saw from shelf 3", "zonk number {}"


def rows() -> list[tuple[str, str]]:
    """Texts that words tell apart, and some that only the language model knows."""
    easy = [(f"{said} shelf {n}", label) for n in range(110) for label, said in KINDS.items()]
    labels = list(KINDS)
    return easy + [(f"{HARD[n % 4]} number {n}", labels[n * 7 // 4 % 2]) for n in range(60)]


@pytest.fixture
def provider(tmp_path):
    known = tmp_path / "known.jsonl"
    texts = rows() + [(HARD_TEXT.format(n), "fruit") for n in range(1000, 3000)]
    known.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in texts))
    with serving(Fake(fake_upstream(base_url=f"fake:?accuracy=1&seconds=0&knows={known}"))) as up:
        yield up


@pytest.fixture
def shop(milepost, provider):
    """Two tasks over the same texts: ``asked`` is answered by a prompt, ``climbs`` by a cascade."""
    file = milepost.folder / "things.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("text", "label"), *rows()])
    milepost.ok("init", "shop", "--from", file, "--task", "asked")
    folder = milepost.folder / "shop"
    task = (folder / "tasks/asked.yaml").read_text()
    task = task.replace("name: asked", "name: climbs") + "\ncascade: {at_most_wrong: 0.05}\n"
    (folder / "tasks/climbs.yaml").write_text(task)
    where = ("--base-url", provider.base_url, "--private", "--model", "fake", "--timeout", "5")
    prices = ("--price-in", "2.5", "--price-out", "10")
    milepost.ok("-w", "shop", "upstreams", "add", "big", *where, *prices)
    money = ("--budget-usd", "1")
    milepost.ok("-w", "shop", "improve", "asked", *money, "--strategy", "prompted")
    rungs = [f"--strategy={name}" for name in ("tfidf_linear", "prompted", "cascade")]
    milepost.ok("-w", "shop", "improve", "climbs", *money, *rungs)
    # Whichever won: it is the cascade that is served.
    with open_context(folder).ledger as ledger:
        (contest,) = ledger.contests("climbs")
        (cascade,) = [each for each in contest.candidates if each.strategy == "cascade"]
        assert cascade.scorecard is not None, cascade.error
        stands = ledger.channel("climbs", "production")
        version = 0 if stands is None else stands.version
        ledger.make_release(cascade.id, expected_version=version, reason="a test")
    return folder


class Caller:
    """Asks a server with a key; every hard text is a new one, so that no cache answers it."""

    _numbers = count(1000)

    def __init__(self, address: str, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=address, headers=headers, timeout=30.0)

    def close(self) -> None:
        self._client.close()

    def hard(self) -> str:
        return HARD_TEXT.format(next(self._numbers))

    def predict(self, task: str, *texts: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"inputs": texts}
        return self._client.post(f"/v1/tasks/{task}/predict", json=body, headers=named)

    def chat(self, task: str, text: str) -> httpx.Response:
        body = {"model": f"milepost/{task}", "messages": [{"role": "user", "content": text}]}
        return self._client.post("/v1/chat/completions", json=body)


@pytest.fixture
def caller(milepost, shop, serve):
    """Callers of a server of the workspace, each with a key of its own."""
    server, made = serve(shop), []

    def make(*options: str) -> Caller:
        tasks = ("--task", "asked", "--task", "climbs")
        created = milepost.ok(
            "-w", "shop", "keys", "create", "--role", "consumer", *tasks, *options
        )
        made.append(Caller(server.address, created.out.split()[-1]))
        # The server reads new keys every second at least.
        until = time.monotonic() + 30
        while made[-1].predict("climbs", EASY_TEXT).status_code == 401:
            assert time.monotonic() < until
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.slow
def test_language_models_behind_a_server(milepost, caller, provider):
    rich = caller()

    # What it says, what it costs and who said it.
    asked = rich.predict("asked", rich.hard(), EASY_TEXT).json()
    assert [each["label"] for each in asked["predictions"]] == ["fruit", "tool"]
    assert {each["rung"] for each in asked["predictions"]} == {"prompted"}
    assert asked["usage"]["model_calls"] == 2
    assert asked["usage"]["cost_usd"] > 0
    climbs = rich.predict("climbs", EASY_TEXT, rich.hard()).json()
    easy, hard = climbs["predictions"]
    assert (easy["label"], easy["rung"]) == ("tool", "tfidf_linear")
    assert (hard["label"], hard["rung"]) == ("fruit", "prompted")
    assert climbs["usage"]["model_calls"] == 1
    chat = rich.chat("climbs", rich.hard()).json()
    assert chat["choices"][0]["message"]["content"] == "fruit"
    assert chat["milepost"]["rung"] == "prompted"

    # A key's budget: what is left is said, and when it begins anew.
    poor = caller("--budget-usd", "0.001", "--per", "month")
    while (answer := poor.predict("asked", poor.hard())).status_code == 200:
        pass
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert error["code"] == "over_budget"
    assert " left, with $" in error["message"]
    assert "begins anew" in error["message"]
    assert 0 < int(answer.headers["retry-after"]) <= 31 * 86_400
    assert poor.chat("asked", poor.hard()).status_code == 402
    kept, withheld = poor.predict("climbs", EASY_TEXT, poor.hard()).json()["predictions"]
    assert (kept["label"], "failed" in kept) == ("tool", False)
    assert (withheld["label"], withheld["abstained"]) == (None, True)
    assert withheld["failed"]["outcome"] == "over_budget"
    assert withheld["failed"]["retry_after"] > 0
    refusal = poor.chat("climbs", poor.hard()).json()["choices"][0]["message"]["refusal"]
    assert "did not answer (over_budget: the budget of key:" in refusal

    # An upstream that hangs: an error by the deadline, and the local rung answers.
    provider.fault = Fault(kind="hang")
    began = time.monotonic()
    late = rich.predict("asked", rich.hard(), x_request_timeout="1")
    assert late.status_code == 504
    assert time.monotonic() - began < 5.0
    both = rich.predict("climbs", EASY_TEXT, rich.hard(), x_request_timeout="1")
    assert both.status_code in {200, 504}
    assert rich.predict("climbs", EASY_TEXT).json()["predictions"][0]["label"] == "tool"

    # One that breaks: typed, with its name, and a time to come again once it is left alone.
    provider.fault = Fault(kind="reset")
    codes = set()
    for _ in range(8):
        failed = rich.predict("asked", rich.hard())
        assert failed.status_code in {502, 503}
        assert "pstream big: " in failed.json()["error"]["message"]
        codes.add(failed.json()["error"]["code"])
        if failed.status_code == 503:
            assert int(failed.headers["retry-after"]) >= 1
    assert "upstream_unavailable" in codes, "the breaker opens"
    (down,) = rich.predict("climbs", rich.hard()).json()["predictions"]
    assert down["failed"]["outcome"] in {"reset", "breaker_open"}

    provider.fault = None
    until = time.monotonic() + 30
    while rich.predict("asked", rich.hard()).status_code != 200:
        assert time.monotonic() < until, "it comes back by itself"


@pytest.mark.slow
def test_a_release_is_rolled_back_while_it_is_asked(milepost, shop, caller):
    with open_context(shop).ledger as ledger:
        stands = ledger.channel("climbs", "production")
        (cascade, *_) = ledger.releases("climbs")
        ledger.make_release(cascade.candidate, expected_version=stands.version, reason="again")
    rich, ends, statuses, seen = caller(), threading.Event(), [], set()

    def ask() -> None:
        while not ends.is_set():
            answer = rich.predict("climbs", EASY_TEXT, rich.hard())
            statuses.append(answer.status_code)
            seen.add(answer.json().get("release"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        milepost.ok("-w", "shop", "rollback", "climbs", "--reason", "a test")
        until = time.monotonic() + 30
        while len(seen) < 2:
            assert time.monotonic() < until
            ends.wait(0.01)
    finally:
        ends.set()
        thread.join()
    assert set(statuses) == {200}
    assert seen == {stands.release, stands.release + 1}
