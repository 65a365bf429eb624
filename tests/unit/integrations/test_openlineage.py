"""OpenLineage events: whole by the official classes, sent to a real file and a real server."""

import enum
import json
import logging
import threading
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from uuid import UUID

import attr
import pytest
from jsonschema import Draft202012Validator, ValidationError
from openlineage.client import generated
from openlineage.client.generated import base

from milepost.entities.configuration import Configuration
from milepost.entities.errors import InputError, MilepostError, WorkspaceError
from milepost.entities.lineage import RunNews
from milepost.integrations import openlineage
from milepost.integrations.openlineage import Listener, run_event, run_id
from milepost.testing.encoders import HashedEncoder
from milepost.workflows import listening
from milepost.workflows.contest.improve import Options, improve
from milepost.workflows.listening import announced, send_lineage, teller
from milepost.workflows.opening import create
from milepost.workflows.release.lineage import lineage, lineage_of_contest
from milepost.workflows.tasks.current import current_task

AT = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)
SECRET = "s3cr3t-k3y"  # noqa: S105 — nobody's


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in ("OPENLINEAGE_API_KEY", "OPENLINEAGE_NAMESPACE", "OPENLINEAGE_PARENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def desk(tmp_path):
    """A workspace with a task of 20 examples, and a function that runs a contest on it."""
    wired = create(tmp_path / "desk", Configuration())
    encoder = HashedEncoder()
    rows = "".join(
        f"ripe apples of {i} {word},fruit\na hammer from {i} {word},tool\n"
        for i, word in enumerate(("alpha", "bravo", "charlie", "delta", "echo", "fox", "golf"))
    )
    (wired.root / "data/things.csv").write_text("text,label\n" + rows)
    (wired.root / "tasks/things.yaml").write_text(
        "name: things\nlabels: {fruit: '', tool: ''}\ndata: {examples: data/things.csv}\n"
    )
    return replace(wired, encoder=lambda: encoder, bare_encoder=lambda: encoder)


def official_facets() -> dict[str, type]:
    """The official class of each facet by the address of its schema."""
    found = {}
    for module in iter_modules(generated.__path__):
        for each in vars(import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(each, type) and issubclass(each, base.BaseFacet):
                found[each._get_schema()] = each
    return found


def built(kind, value):
    """A value by an official class: unknown, missing and wrongly typed fields are errors."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return built(next(each for each in arguments if each is not type(None)), value)
    if origin is list:
        assert isinstance(value, list)
        return [built(arguments[0], each) for each in value]
    if origin is dict:
        assert isinstance(value, dict)
        return {key: built(arguments[1], each) for key, each in value.items()}
    if isinstance(kind, type) and attr.has(kind):
        hints = typing.get_type_hints(kind)
        plain = {k: v for k, v in value.items() if k not in ("_producer", "_schemaURL")}
        return kind(**{name: built(hints[name], each) for name, each in plain.items()})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if kind is float:
        kind = (int, float)
    assert isinstance(value, kind) or kind is typing.Any, (kind, value)
    assert not (kind is int and isinstance(value, bool))
    return value


OFFICIAL = official_facets()
OWN = json.loads(files("milepost.integrations").joinpath("openlineage_facets.json").read_text())


def check_facets(facets: dict, parent: type) -> None:
    for name, facet in facets.items():
        assert facet["_producer"].startswith("urn:milepost:")
        schema = facet["_schemaURL"]
        if name.startswith("milepost_"):
            address, pointer = schema.split("#/$defs/")
            assert address == OWN["$id"]
            Draft202012Validator({**OWN, "$ref": f"#/$defs/{pointer}"}).validate(facet)
        else:
            assert issubclass(OFFICIAL[schema], parent)
            built(OFFICIAL[schema], facet)


def check_event(event: dict) -> None:
    """Whether an event is one of OpenLineage 2-0-2."""
    plain = json.loads(json.dumps(event))
    check_facets(plain["run"].pop("facets"), base.RunFacet)
    check_facets(plain["job"].pop("facets"), base.JobFacet)
    for side, own in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        kind = base.InputDatasetFacet if side == "inputs" else base.OutputDatasetFacet
        for dataset in plain[side]:
            check_facets(dataset.pop("facets", {}), base.DatasetFacet)
            check_facets(dataset.pop(own, {}), kind)
    assert plain.pop("schemaURL") == base.RunEvent._get_schema()
    assert base.RunEvent._get_schema().startswith("https://openlineage.io/spec/2-0-2/")
    built(base.RunEvent, plain)


def news(state="START", **more) -> RunNews:
    given = {"files": ("data/things.csv",), **more}
    return RunNews(
        state=state, at=AT, workspace="/desk", task="things", contest="c0123456789ab", started=AT,
        **given,
    )  # fmt: skip


def finished(desk) -> RunNews:
    contest = improve(desk, "things", Options(strategies=["tfidf_linear"])).contest
    return RunNews(
        state="COMPLETE", at=AT, workspace=str(desk.root), task="things", contest=contest.id,
        started=AT, lineage=lineage_of_contest(desk, contest),
    )  # fmt: skip


@pytest.mark.parametrize("state", ["START", "ABORT", "FAIL"])
def test_events_without_a_lineage_are_whole(state):
    event = run_event(news(state, error="it broke" if state == "FAIL" else None))
    check_event(event)
    assert event["eventTime"] == "2026-03-14T15:09:26.535Z"
    assert event["inputs"] == [{"namespace": "file", "name": "/desk/data/things.csv"}]
    assert ("errorMessage" in event["run"]["facets"]) == (state == "FAIL")
    assert ("nominalEndTime" in event["run"]["facets"]["nominalTime"]) == (state != "START")


def test_a_finished_contest_says_what_went_in_and_what_came_out(desk):
    event = run_event(finished(desk))
    check_event(event)
    files, snapshot = event["inputs"]
    assert files["name"] == str(desk.root / "data/things.csv")
    assert files["inputFacets"]["dataQualityMetrics"]["rowCount"] == 14
    quality = snapshot["inputFacets"]["dataQualityMetrics"]
    assert quality["columnMetrics"]["label"] == {"nullCount": 0, "count": 14, "distinctCount": 2}
    bundle, release = event["outputs"]
    stored = desk.ledger.release("things", 1)
    assert bundle["facets"]["version"]["datasetVersion"] == stored.bundle
    assert release["facets"]["milepost_release"]["digest"] == stored.digest
    assert event["run"]["facets"]["milepost_contest"]["verdict"] == "released"


def test_the_check_refuses_what_is_wrong():
    """The check above would see a wrong field; else it would be worth nothing."""
    good = run_event(news())
    for path, value in (
        (("run", "facets", "nominalTime", "nominalStartTime"), "yesterday"),
        (("run", "facets", "processing_engine", "flavour"), "new"),
        (("run", "facets", "milepost_contest", "contest"), "c1"),
        (("run", "runId"), "not-a-uuid"),
        (("eventType",), "BEGUN"),
        (("inputs", 0, "name"), 7),
    ):
        bad = json.loads(json.dumps(good))
        place = bad
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises((TypeError, ValueError, KeyError, AssertionError, ValidationError)):
            check_event(bad)


def test_the_run_follows_from_the_contest():
    assert run_id("c0123456789ab") == run_id("c0123456789ab")
    assert run_id("c0123456789ab") != run_id("c0123456789ac")
    assert run_id("c0123456789ab").version == 5


def test_the_environment_names_jobs_and_the_parent(monkeypatch):
    parent = "6d314d76-7f01-5e41-9b9e-0c1817512095"
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "desk-jobs")
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/nightly.route/{parent}")
    event = run_event(news())
    check_event(event)
    assert event["job"]["namespace"] == "desk-jobs"
    told = event["run"]["facets"]["parent"]
    assert UUID(told["run"]["runId"]) == UUID(parent)
    assert told["job"] == {"namespace": "airflow", "name": "nightly.route"}
    for odd in ("", "a/b", "a/b/not-a-uuid", "//" + parent):
        monkeypatch.setenv("OPENLINEAGE_PARENT_ID", odd)
        assert "parent" not in run_event(news())["run"]["facets"]


@dataclass
class Server:
    """An HTTP server that keeps what it is sent."""

    url: str
    status: int = 201
    wait: threading.Event | None = None
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if told.wait is not None:
                told.wait.wait(30)
                return
            self.send_response(told.status)
            if told.status == 302:
                self.send_header("Location", f"{told.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.daemon_threads = True
    told = Server(f"http://127.0.0.1:{serving.server_port}")
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        if told.wait is not None:
            told.wait.set()
        serving.shutdown()
        thread.join()
        serving.server_close()


def test_events_reach_a_server_with_the_key(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", SECRET)
    Listener(server.url, tmp_path)(news())
    Listener(f"{server.url}/own/path", tmp_path)(news("FAIL", error="x"))
    (path, headers, body), (own, _, _) = server.got
    assert (path, own) == ("/api/v1/lineage", "/own/path")
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["content-type"] == "application/json"
    check_event(json.loads(body))


def test_a_key_that_is_no_header_is_never_shown(server, tmp_path, monkeypatch):
    for key in (f"{SECRET}\nX: y", f"{SECRET}ü"):
        monkeypatch.setenv("OPENLINEAGE_API_KEY", key)
        with pytest.raises(WorkspaceError) as refused:
            Listener(server.url, tmp_path)(news())
        assert SECRET not in str(refused.value)
        assert not server.got


@pytest.mark.parametrize("status", [302, 401, 500])
def test_a_server_that_does_not_take_it_is_named_without_secrets(
    server, tmp_path, monkeypatch, status
):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", SECRET)
    server.status = status
    address = server.url.replace("http://", f"http://user:{SECRET}@") + f"/x?token={SECRET}"
    with pytest.raises(WorkspaceError, match=f"answered {status}") as refused:
        Listener(address, tmp_path)(news())
    assert SECRET not in str(refused.value)
    # A redirect is not followed: the key goes to nobody else.
    assert len(server.got) == 1


def test_a_server_that_never_answers_is_not_waited_for(server, tmp_path, monkeypatch):
    monkeypatch.setattr(openlineage, "TIMEOUT_SECONDS", 0.2)
    server.wait = threading.Event()
    with pytest.raises(WorkspaceError, match="ReadTimeout"):
        Listener(server.url, tmp_path)(news())


def test_nobody_at_the_address_is_an_error_of_milepost(tmp_path):
    with pytest.raises(WorkspaceError, match="ConnectError"):
        Listener("http://127.0.0.1:9/", tmp_path)(news())


@pytest.mark.parametrize("address", ["ftp://x/y", "", "kafka://topic"])
def test_other_kinds_of_address_are_refused(tmp_path, address):
    with pytest.raises(InputError, match="cannot be sent"):
        Listener(address, tmp_path)


def test_a_file_gets_one_line_per_event(tmp_path):
    for address in ("events/lineage.jsonl", (tmp_path / "events/lineage.jsonl").as_uri()):
        Listener(address, tmp_path)(news())
    lines = (tmp_path / "events/lineage.jsonl").read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        check_event(json.loads(line))


def test_many_writers_never_mix_their_lines(tmp_path):
    def write(number: int) -> None:
        listener = Listener("events.jsonl", tmp_path)
        for _ in range(20):
            listener(news(files=(f"{number}" * 5000,)))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len(lines) == 120
    assert all(json.loads(line)["eventType"] == "START" for line in lines)


def test_a_place_that_cannot_be_written_is_an_error_of_milepost(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="could not be sent"):
        Listener("file/events.jsonl", tmp_path)(news())


def told_to(desk, address: str):
    return replace(desk, tell=teller(desk.root, address))


def states(path: Path) -> list[tuple[str, str]]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        check_event(event)
    return [(event["eventType"], event["run"]["runId"]) for event in events]


def test_a_contest_is_told_from_start_to_end(desk):
    listened = told_to(desk, "events.jsonl")
    contest = improve(listened, "things", Options(strategies=["tfidf_linear"])).contest
    run = str(run_id(contest.id))
    assert states(desk.root / "events.jsonl") == [("START", run), ("COMPLETE", run)]


@pytest.mark.parametrize(
    ("error", "state"), [(InputError("it broke."), "FAIL"), (KeyboardInterrupt(), "ABORT")]
)
def test_a_contest_that_ends_early_is_told(desk, error, state):
    listened = told_to(desk, "events.jsonl")
    task = current_task(desk, "things")
    with pytest.raises(type(error)), announced(listened, task, "c0123456789ab", AT):
        raise error
    told = [each for each, _ in states(desk.root / "events.jsonl")]
    assert told == ["START", state]
    last = json.loads((desk.root / "events.jsonl").read_text().splitlines()[-1])
    times = last["run"]["facets"]["nominalTime"]
    assert times["nominalStartTime"] == "2026-03-14T15:09:26.535Z"


def test_a_listener_that_fails_never_fails_the_contest_and_is_told_once(desk, caplog):
    listened = told_to(desk, "http://127.0.0.1:9/")
    with caplog.at_level(logging.WARNING, logger="milepost"):
        contest = improve(listened, "things", Options(strategies=["tfidf_linear"])).contest
    assert contest.release == 1
    said = [r.getMessage() for r in caplog.records if "OpenLineage" in r.getMessage()]
    assert len(said) == 1
    assert "not affected" in said[0]


def test_a_listener_with_a_fault_of_its_own_does_not_fail_it_either(desk, caplog, monkeypatch):
    def broken(news):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(listening, "open_listener", lambda *_: broken)
    task = current_task(desk, "things")
    with announced(told_to(desk, "x"), task, "c0123456789ab", AT):
        pass
    said = [record.getMessage() for record in caplog.records]
    assert said.count("RuntimeError. The contest is not affected.") == 1
    assert SECRET not in " ".join(said)


def test_the_lineage_of_a_channel_is_sent_on_demand(desk, server):
    improve(desk, "things", Options(strategies=["tfidf_linear"]))
    found = lineage(desk, "things@production")
    assert send_lineage(desk, found, server.url, desk.root) == 2
    told = [json.loads(body) for _, _, body in server.got]
    for event in told:
        check_event(event)
    assert [event["eventType"] for event in told] == ["START", "COMPLETE"]
    with pytest.raises(MilepostError, match="ConnectError"):
        send_lineage(desk, found, "http://127.0.0.1:9/", desk.root)
