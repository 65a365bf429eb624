"""Streams of lines and files through a running server, as curl and plain sockets send them."""

import contextlib
import csv
import io
import json
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TEXTS = ["where is my parcel", "I was charged twice", "I cannot log in any more"]


@pytest.fixture
def client(desk):
    headers = {"Authorization": f"Bearer {desk.key}"}
    with httpx.Client(base_url=desk.address, headers=headers, timeout=60) as made:
        yield made


def stream(client, body: bytes, **more) -> list[dict]:
    answer = client.post("/v1/tasks/route/predict/stream", content=body, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def test_lines_are_answered_in_order_and_wrong_ones_named(client):
    body = '"where is my parcel"\n{"text": "I was charged twice", "id": "x"}\nno\n[]\n\n"hello"'
    found = stream(client, body.encode(), params={"top_k": 1})
    assert [each["line"] for each in found] == [1, 2, 3, 4, 6]
    assert found[0]["label"] == "delivery"
    assert len(found[0]["probabilities"]) == 1
    assert (found[1]["label"], found[1]["id"]) == ("payment", "x")
    assert [each["error"]["code"] for each in found[2:4]] == ["not_json", "wrong_line"]
    assert found[4]["trace_id"].startswith("t")


def test_a_stream_says_what_the_plain_route_says(client):
    body = "".join(json.dumps(text) + "\n" for text in TEXTS).encode()
    asked = client.post("/v1/tasks/route/predict", json={"inputs": TEXTS}).json()
    labels = [each["label"] for each in asked["predictions"]]
    assert [each["label"] for each in stream(client, body)] == labels


def test_a_release_is_pinned_for_all_lines_and_an_unknown_one_is_said_of_each(client):
    body = b'"hello"\n' * 3
    found = stream(client, body, headers={"X-Milepost-Release": "1"})
    assert {each["release"] for each in found} == {1}
    found = stream(client, body, headers={"X-Milepost-Release": "99"})
    assert {each["error"]["code"] for each in found} == {"unknown_release"}


class Wire:
    """One request on a bare socket, of which each half goes its own way."""

    def __init__(self, desk, path: str) -> None:
        parts = urlsplit(desk.address)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {desk.key}\r\n"
            "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self.file = self.socket.makefile("rb")

    def send(self, body: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(body), body))

    def head(self) -> bytes:
        status = self.file.readline()
        while self.file.readline() != b"\r\n":
            pass
        return status

    def chunk(self) -> bytes:
        size = int(self.file.readline(), 16)
        body = self.file.read(size)
        self.file.readline()
        return body

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_a_line_is_answered_before_the_next_is_sent(desk):
    wire = Wire(desk, "/v1/tasks/route/predict/stream")
    for at, text in enumerate(TEXTS, start=1):
        wire.send(json.dumps(text).encode() + b"\n")
        if at == 1:
            assert b"200" in wire.head()
        assert json.loads(wire.chunk())["line"] == at
    wire.send(b"")
    assert wire.chunk() == b""
    wire.close()


def test_curl_streams_both_ways(desk):
    """The command of the documentation: curl reads answers while its input is open."""
    command = [
        "curl", "-sSN", "-X", "POST", "-T", ".", "-H", "Expect:",
        "-H", f"Authorization: Bearer {desk.key}",
        f"{desk.address}/v1/tasks/route/predict/stream",
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
        for at, text in enumerate(TEXTS, start=1):
            curl.stdin.write(json.dumps(text).encode() + b"\n")
            curl.stdin.flush()
            assert json.loads(curl.stdout.readline())["line"] == at
        assert curl.communicate()[0] == b""
    assert curl.returncode == 0


def _server_memory(desk) -> int:
    port = urlsplit(desk.address).port
    found = 0
    for process in psutil.process_iter():
        try:
            listens = any(
                each.laddr.port == port and each.status == psutil.CONN_LISTEN
                for each in process.net_connections("tcp")
            )
            found += process.memory_info().rss if listens else 0
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_who_does_not_read_is_not_read_from(desk):
    """With nobody taking answers, the server stops to take lines instead of keeping them."""
    wire = Wire(desk, "/v1/tasks/route/predict/stream")
    block = b'"where is my parcel"\n' * 1000
    before = _server_memory(desk)
    wire.socket.settimeout(3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 400:
            wire.send(block)
            sent += 1
    assert sent < 400
    assert _server_memory(desk) - before < 64 * 1024 * 1024
    wire.close()


def test_a_long_stream_is_answered_whole(desk):
    lines = 3000
    line = b'{"text": "where is parcel %d", "id": %d}\n'
    body = b"".join(line % (i % 50, i) for i in range(lines))
    wire = Wire(desk, "/v1/tasks/route/predict/stream")

    def send() -> None:
        for at in range(0, len(body), 7919):
            wire.send(body[at : at + 7919])
        wire.send(b"")

    sending = threading.Thread(target=send)
    sending.start()
    assert b"200" in wire.head()
    found = b""
    while piece := wire.chunk():
        found += piece
    sending.join()
    wire.close()
    assert [json.loads(line)["id"] for line in found.splitlines()] == list(range(lines))


@pytest.mark.parametrize("path", ["predict/stream", "batch"])
def test_refusals_come_before_anything_is_answered(desk, path):
    csv_type = {"Content-Type": "text/csv"}
    with httpx.Client(base_url=desk.address, headers=csv_type) as nobody:
        url = f"/v1/tasks/route/{path}"
        assert nobody.post(url, content=b"text\na\n").status_code == 401
        narrow = {"Authorization": f"Bearer {desk.narrow}"}
        assert nobody.post(url, content=b"text\na\n", headers=narrow).status_code == 403
        key = {"Authorization": f"Bearer {desk.key}"}
        answer = nobody.post(url.replace("route", "rute"), content=b"text\na\n", headers=key)
        assert answer.status_code == 404
        assert "route" in answer.json()["error"]["hint"]


def batch(client, body: bytes, given: str, wanted: str | None = None, **params) -> httpx.Response:
    headers = {"Content-Type": given, **({"Accept": wanted} if wanted else {})}
    return client.post("/v1/tasks/route/batch", content=body, headers=headers, params=params)


CSV, NDJSON, PARQUET = "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"


def rows_of(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == CSV:
        return list(csv.DictReader(io.StringIO(answer.text)))
    if kind == NDJSON:
        return [json.loads(line) for line in answer.content.splitlines()]
    assert kind == PARQUET
    return pq.read_table(io.BytesIO(answer.content)).to_pylist()


def a_file(kind: str) -> bytes:
    rows = [{"id": i, "text": text, "label": "?"} for i, text in enumerate(TEXTS)]
    if kind == CSV:
        out = io.StringIO()
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode()
    if kind == NDJSON:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@pytest.mark.parametrize("given", [CSV, NDJSON, PARQUET])
@pytest.mark.parametrize("wanted", [CSV, NDJSON, PARQUET, None])
def test_a_file_comes_back_with_its_answers(client, given, wanted):
    found = rows_of(batch(client, a_file(given), given, wanted))
    assert [row["label"] for row in found] == ["delivery", "payment", "account"]
    assert [row["text"] for row in found] == TEXTS
    assert [str(row["id"]) for row in found] == ["0", "1", "2"]
    assert [row["input_label"] for row in found] == ["?"] * 3
    assert all(0.3 < float(row["confidence"]) <= 1.0 for row in found)
    assert {str(row["release"]) for row in found} == {"2"}
    assert all(row["error"] in (None, "") for row in found)


def test_columns_are_named_and_delimiters_kept(client):
    body = b"id;message\r\n1;where is my parcel\r\n2;I was charged; twice\r\n"
    answer = batch(client, body, CSV, column="message")
    header, first, second = answer.text.splitlines()
    assert header == ("id;message;label;confidence;abstained;rung;tripped;release;trace_id;error")
    assert first.startswith("1;where is my parcel;delivery;")
    assert "cells stand under" in second
    one = batch(client, b"text\nwhere is my parcel\n", CSV).text.splitlines()
    assert one[0].startswith("text,label,confidence,")
    assert one[1].startswith("where is my parcel,delivery,")
    refused = batch(client, b"id,message\n1,a\n", CSV)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unknown_column")
    assert "message" in refused.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("body", "given", "wanted", "status"),
    [
        (b"text\na\n", "image/png", None, 415),
        (b"text\na\n", CSV, "image/png", 406),
        (b"text\na\n", "text/csv; charset=utf-16", None, 415),
        (b"", CSV, None, 422),
        (b"no parquet", PARQUET, None, 422),
        (b'{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n', NDJSON, PARQUET, 422),
    ],
)
def test_files_that_cannot_be_read_or_written_are_refused(client, body, given, wanted, status):
    answer = batch(client, body, given, wanted)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"type", "code", "message", "param", "hint"}


def test_serving_loads_arrow_only_for_parquet():
    code = (
        "import sys, milepost.gateway.table\n"
        "heavy = {'pyarrow', 'jinja2', 'pandas', 'grpc', 'sklearn', 'duckdb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
