"""Contests as OpenLineage 2-0-2 run events, appended to a file or posted over HTTP.

Knows the records of a lineage and the words of OpenLineage, and nothing of where they came from.
The specification: https://openlineage.io/spec/2-0-2/OpenLineage.json and its facets.

Environment, as other producers read it: ``OPENLINEAGE_API_KEY`` is sent as a bearer token and never
written anywhere; ``OPENLINEAGE_NAMESPACE`` names the jobs (default ``milepost``);
``OPENLINEAGE_PARENT_ID``, as ``namespace/job/run id``, names the run that this one is part of.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from milepost.entities.errors import InputError, WorkspaceError
from milepost.entities.lineage import Lineage, Node, RunNews

SPEC = "https://openlineage.io/spec"
EVENT_SCHEMA = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
OWN_SCHEMA = "urn:milepost:openlineage:facets:1-0-0"
"""Name of ``openlineage_facets.json``, the schema of milepost's own facets."""
ENDPOINT = "/api/v1/lineage"
"""Where servers take events; used where the address names no path."""
TIMEOUT_SECONDS = 5.0

Json = dict[str, Any]

FACETS = {
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "parent": "1-2-0/ParentRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet",
    "dataQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
}
"""Version and name of each standard facet that is sent."""


class Listener:
    """Sends every piece of news as one event.

    Args:
        address: A file, ``file://`` or ``http(s)://`` address.
        root: Folder that a relative file is in.

    Raises:
        InputError: If the address is of another kind.
    """

    def __init__(self, address: str, root: Path) -> None:
        parts = urlsplit(address)
        self._url, self._file = "", Path()
        if parts.scheme in ("http", "https") and parts.hostname:
            path = parts.path if parts.path.strip("/") else ENDPOINT
            self._url = urlunsplit(parts._replace(path=path, fragment=""))
        elif parts.scheme == "file":
            self._file = Path(unquote(parts.path))
        elif "://" in address or not address.strip():
            raise InputError(
                f"OpenLineage events cannot be sent to {_without_secrets(address)!r}.",
                advice="Name a file, or an address that begins with http:// or https://.",
            )
        else:
            self._file = root / address

    def __call__(self, news: RunNews) -> None:
        """Send one event.

        Raises:
            WorkspaceError: If the file cannot be written, or the server does not take it.
        """
        event = run_event(news)
        if self._url:
            _post(self._url, event)
        else:
            _append(self._file, event)


def run_event(news: RunNews) -> Json:
    """The event that says what happened."""
    return {
        "eventType": news.state,
        "eventTime": _moment(news.at),
        "producer": _producer(),
        "schemaURL": EVENT_SCHEMA,
        "run": {"runId": str(run_id(news.contest)), "facets": _run_facets(news)},
        "job": {
            "namespace": _namespace(),
            "name": f"{_workspace(news)}.{news.task}.contest",
            "facets": {
                "jobType": _facet(
                    "jobType", processingType="BATCH", integration="MILEPOST", jobType="CONTEST"
                )
            },
        },
        "inputs": _inputs(news),
        "outputs": _outputs(news),
    }


def run_id(contest: str) -> UUID:
    """The run of a contest: the same at each call, on each machine (UUID version 5, RFC 9562)."""
    return uuid5(NAMESPACE_OID, f"milepost/contest/{contest}")


def _run_facets(news: RunNews) -> Json:
    facets: Json = {
        "processing_engine": _facet("processing_engine", version=_version(), name="milepost"),
        "milepost_contest": _own("ContestRunFacet", contest=news.contest, **_verdict(news.lineage)),
    }
    if news.started is not None:
        times = {"nominalStartTime": _moment(news.started)}
        if news.state != "START":
            times["nominalEndTime"] = _moment(news.at)
        facets["nominalTime"] = _facet("nominalTime", **times)
    parent = _parent()
    if parent is not None:
        facets["parent"] = parent
    if news.state == "FAIL":
        facets["errorMessage"] = _facet(
            "errorMessage", message=news.error or "unknown", programmingLanguage="PYTHON"
        )
    return facets


def _verdict(lineage: Lineage | None) -> Json:
    contest = next(iter(lineage.of_kind("contest")), None) if lineage else None
    if contest is None:
        return {}
    names = ("verdict", "reasons", "regime", "seed", "looks", "seconds")
    return {name: contest.facts[name] for name in names}


def _parent() -> Json | None:
    """The run that this one is part of, where the environment names one as it should be."""
    parts = os.environ.get("OPENLINEAGE_PARENT_ID", "").rsplit("/", 2)
    if len(parts) != 3 or not parts[0] or not parts[1]:
        return None
    try:
        run = str(UUID(parts[2]))
    except ValueError:
        return None
    return _facet("parent", run={"runId": run}, job={"namespace": parts[0], "name": parts[1]})


def _inputs(news: RunNews) -> list[Json]:
    """Files, snapshots, prompts, language models; before they are known, the task's files."""
    if news.lineage is None:
        return [_file_name(news, path) for path in news.files]
    files = [_file(news, node) for node in news.lineage.of_kind("file")]
    snapshots = [_snapshot(news, node) for node in news.lineage.of_kind("snapshot")]
    prompts = [_prompt(news, node) for node in news.lineage.of_kind("prompt")]
    upstreams = [_upstream(news, node) for node in news.lineage.of_kind("upstream")]
    return [*files, *snapshots, *prompts, *upstreams]


def _file_name(news: RunNews, path: str) -> Json:
    place = Path(news.workspace, path)
    return {"namespace": "file", "name": place.as_posix()}


def _file(news: RunNews, node: Node) -> Json:
    named = _file_name(news, str(node.facts["path"]))
    return {
        **named,
        "facets": {
            "version": _facet("version", datasetVersion=node.digest),
            "dataSource": _facet("dataSource", name="file", uri=Path(named["name"]).as_uri()),
            "datasetType": _facet("datasetType", datasetType="FILE"),
        },
        "inputFacets": {
            "dataQualityMetrics": _facet(
                "dataQualityMetrics", rowCount=node.facts["rows"], columnMetrics={}
            )
        },
    }


def _snapshot(news: RunNews, node: Node) -> Json:
    counts: object = node.facts["label_counts"]
    rows, labelled = int(str(node.facts["rows"])), int(str(node.facts["labelled"]))
    label = {"nullCount": rows - labelled, "count": labelled}
    if isinstance(counts, Mapping):
        label["distinctCount"] = len(counts)
    fields = [{"name": name, "type": "string"} for name in ("id", "text", "label")]
    return {
        "namespace": _namespace(),
        "name": f"{_workspace(news)}.{news.task}.{node.facts['role']}",
        "facets": {
            "version": _facet("version", datasetVersion=node.digest),
            "schema": _facet("schema", fields=fields),
            "dataSource": _facet("dataSource", name="milepost artifacts"),
            "milepost_snapshot": _own("SnapshotDatasetFacet", artifact=node.facts["artifact"]),
        },
        "inputFacets": {
            "dataQualityMetrics": _facet(
                "dataQualityMetrics", rowCount=rows, columnMetrics={"label": label}
            )
        },
    }


def _prompt(news: RunNews, node: Node) -> Json:
    told = {name: node.facts[name] for name in ("number", "origin", "answer", "shots")}
    return {
        "namespace": _namespace(),
        "name": f"{_workspace(news)}.{node.facts['task']}.prompt",
        "facets": {
            "version": _facet("version", datasetVersion=node.digest),
            "datasetType": _facet("datasetType", datasetType="PROMPT"),
            "milepost_prompt": _own("PromptDatasetFacet", **told),
        },
        "inputFacets": {},
    }


def _upstream(news: RunNews, node: Node) -> Json:
    """A language model; where it answers is not told, since an address may hold what is private."""
    told = {name: node.facts[name] for name in ("number", "model", "wire", "licence", "terms")}
    return {
        "namespace": _namespace(),
        "name": f"{_workspace(news)}.upstream.{node.facts['upstream']}",
        "facets": {
            "version": _facet("version", datasetVersion=node.digest),
            "datasetType": _facet("datasetType", datasetType="MODEL", subType="UPSTREAM"),
            "milepost_upstream": _own("UpstreamDatasetFacet", **told),
        },
        "inputFacets": {},
    }


def _outputs(news: RunNews) -> list[Json]:
    """The bundle of the chosen candidate, and the release where there is one."""
    if news.lineage is None:
        return []
    bundles = [_bundle(news, node) for node in news.lineage.of_kind("bundle")]
    return [*bundles, *(_release(news, node) for node in news.lineage.of_kind("release"))]


def _bundle(news: RunNews, node: Node) -> Json:
    files = node.facts["files"]
    statistics: Json = {"size": node.facts["bytes"]} if node.facts["bytes"] is not None else {}
    if isinstance(files, Mapping) and files:
        statistics["fileCount"] = len(files)
    return {
        "namespace": _namespace(),
        "name": f"{_workspace(news)}.{news.task}.bundle",
        "facets": {
            "version": _facet("version", datasetVersion=node.digest),
            "datasetType": _facet("datasetType", datasetType="MODEL"),
            "milepost_bundle": _own("BundleDatasetFacet", candidate=node.facts["candidate"]),
        },
        "outputFacets": {"outputStatistics": _facet("outputStatistics", **statistics)},
    }


def _release(news: RunNews, node: Node) -> Json:
    names = ("number", "strategy", "candidate", "contest", "bundle")
    told = {name: node.facts[name] for name in names}
    rungs = [_rung(rung) for rung in news.lineage.of_kind("rung")] if news.lineage else []
    if rungs:
        told["rungs"] = rungs
    return {
        "namespace": _namespace(),
        "name": f"{_workspace(news)}.{news.task}.release",
        "facets": {
            "version": _facet("version", datasetVersion=str(node.facts["number"])),
            "datasetType": _facet("datasetType", datasetType="MODEL", subType="RELEASE"),
            "milepost_release": _own("ReleaseDatasetFacet", digest=node.digest or "", **told),
        },
        "outputFacets": {},
    }


def _rung(node: Node) -> Json:
    told = {name: node.facts[name] for name in ("number", "name", "threshold")}
    return {name: value for name, value in told.items() if value is not None}


def _facet(kind: str, **fields: object) -> Json:
    """A standard facet."""
    place = FACETS[kind]
    name = place.split("/", 1)[1]
    return {
        "_producer": _producer(),
        "_schemaURL": f"{SPEC}/facets/{place}.json#/$defs/{name}",
        **fields,
    }


def _own(name: str, **fields: object) -> Json:
    """A facet of milepost's own."""
    return {"_producer": _producer(), "_schemaURL": f"{OWN_SCHEMA}#/$defs/{name}", **fields}


def _workspace(news: RunNews) -> str:
    return Path(news.workspace).name or "workspace"


def _namespace() -> str:
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "milepost"


def _producer() -> str:
    return f"urn:milepost:{_version()}"


def _version() -> str:
    try:
        return version("milepost")
    except PackageNotFoundError:
        return "0+source"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _append(path: Path, event: Json) -> None:
    """One line at the end of the file, on disk before it is over; one write, so none is mixed."""
    line = msgspec.json.encode(event) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise _unsent(str(path), error.strerror or str(error)) from error
    if written < len(line):
        raise _unsent(str(path), "the disk is full")


def _post(url: str, event: Json) -> None:
    """Post one event; redirects are not followed, so that the key goes nowhere else."""
    import httpx

    headers = {"Content-Type": "application/json", "User-Agent": f"milepost/{_version()}"}
    key = os.environ.get("OPENLINEAGE_API_KEY", "").strip()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        answer = httpx.post(
            url, content=msgspec.json.encode(event), headers=headers, timeout=TIMEOUT_SECONDS
        )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # The message of an error may repeat the address or a header.
        raise _unsent(_without_secrets(url), type(error).__name__) from None
    if not answer.is_success:
        raise _unsent(_without_secrets(url), f"the server answered {answer.status_code}")


def _without_secrets(url: str) -> str:
    """An address without user, password and query, any of which may be a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit(parts._replace(netloc=host, query="", fragment=""))


def _unsent(where: str, why: str) -> WorkspaceError:
    return WorkspaceError(
        f"an OpenLineage event could not be sent: {why}.",
        where=where,
        advice="Check the address under `openlineage` in milepost.toml, or after --openlineage.",
    )
