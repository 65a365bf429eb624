"""The graph of records that a lineage is: nodes and edges as the ledger has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from milepost._base.digest import sha256_file
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import MilepostError
from milepost.entities.example import Dataset, SourceFile
from milepost.entities.ids import Digest
from milepost.entities.lineage import Edge, Lineage, Move, Node, NodeKind, reachable
from milepost.entities.prompts import PromptVersion
from milepost.entities.release import AuditEntry, Channel, Look, Manifest, Release
from milepost.entities.serving import Trace
from milepost.entities.upstream import UpstreamVersion
from milepost.predictors.bundle import read_manifest
from milepost.reports import words
from milepost.storage.ledger import TaskVersion
from milepost.workflows.context import Context
from milepost.workflows.release.asking import Parts, prompt_node, rung_node, upstream_node
from milepost.workflows.release.subjects import Subject

ORDER: tuple[NodeKind, ...] = (
    "file", "snapshot", "task", "code", "encoder", "upstream", "prompt", "contest", "rung",
    "candidate", "predictions", "bundle", "approval", "release", "channel", "answer",
)  # fmt: skip


def bundle_manifest(context: Context, digest: Digest) -> Manifest:
    """The verified manifest of a stored bundle.

    Raises:
        StorageError: If it is not there, or its bytes are not what they were.
    """
    return read_manifest(context.artifacts.get(digest))


@dataclass(slots=True, eq=False)
class Graph:
    """Nodes and edges as they are found."""

    context: Context
    subject: Subject
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict[tuple[str, str], Edge])
    moves: list[Move] = field(default_factory=list[Move])
    looks: dict[tuple[str, str], tuple[Look, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[Look, ...]]
    )
    channels: dict[str, tuple[Channel, ...]] = field(default_factory=dict[str, tuple[Channel, ...]])
    versions: dict[str, tuple[TaskVersion, ...]] = field(
        default_factory=dict[str, tuple[TaskVersion, ...]]
    )
    read_now: dict[str, str] = field(default_factory=dict[str, str])
    parts: Parts = field(init=False)

    def __post_init__(self) -> None:
        """Find what candidates ask in the same ledger."""
        self.parts = Parts(self.context)

    def add_contest(self, contest: Contest) -> None:
        """A contest with what went into it and what came of it."""
        card = words.shown_scorecard(contest)
        verdict = words.verdict_words(contest)
        regime = contest.regime.replace("_", "-") if card else "nothing could be measured"
        here = self._add(
            "contest",
            contest.id,
            name=f"contest {contest.id}",
            at=contest.started,
            words=f"{verdict}, {regime}, seed {contest.seed}",
            facts={
                "id": contest.id,
                "task": contest.task,
                "seed": contest.seed,
                "regime": contest.regime,
                "verdict": contest.decision.verdict,
                "reasons": list(contest.decision.reasons),
                "seconds": contest.seconds,
                "budget_seconds": contest.budget_seconds,
                "holdout": contest.holdout,
                "looks": card.looks if card else 0,
            },
        )
        self._inputs(contest, here)
        judged_on = contest.holdout or contest.examples
        key = (contest.task, judged_on)
        if key not in self.looks:
            self.looks[key] = self.context.ledger.looks(contest.task, judged_on)
        releases = self.context.ledger.releases_of(contest.id)
        released = {release.candidate for release in releases}
        for candidate in contest.candidates:
            shown = candidate.chosen or candidate.id in released
            if shown or self.subject.wants(candidate):
                self._candidate(contest, candidate, here)
        for release in releases:
            self._release(release)

    def add_dataset(self, dataset: Dataset) -> str:
        """A snapshot with the raw files that it was read from."""
        here = self._add(
            "snapshot",
            f"{dataset.task}/{dataset.role}/{dataset.digest}",
            name=f"{dataset.role} of {dataset.task}",
            digest=dataset.digest,
            words=(
                f"{words.count(dataset.rows, 'row')}, {words.count(dataset.quality.labelled)} "
                f"labelled, {words.truths(dataset.quality)}"
            ),
            facts={
                "task": dataset.task,
                "role": dataset.role,
                "rows": dataset.rows,
                "labelled": dataset.quality.labelled,
                "label_counts": dict(dataset.quality.label_counts),
                "artifact": dataset.artifact,
            },
        )
        for source in dataset.sources:
            self._edge(self._file(source), here, "read into")
        return here

    def add_upstream(self, version: UpstreamVersion, at: datetime | None = None) -> str:
        """A version of a language model's upstream, with its price on a day."""
        newest = self.parts.versions(version.name)[-1]
        return self._put(upstream_node(version, newest, at or version.created))

    def add_prompt(self, version: PromptVersion) -> str:
        """A version of a task's prompt."""
        return self._put(prompt_node(version))

    def add_answer(self, trace: Trace) -> str:
        """A recorded answer, behind the release that gave it."""
        sure = "" if trace.confidence is None else f" {trace.confidence:.3f}"
        here = self._add(
            "answer",
            trace.id,
            name=f"answer {trace.id}",
            at=trace.at,
            actor=trace.key,
            words=f"{trace.label or 'withheld'}{sure}, by {trace.channel}",
            facts={
                "task": trace.task,
                "release": trace.release,
                "channel": trace.channel,
                "label": trace.label,
                "confidence": trace.confidence,
                "rung": trace.rung,
                "request": trace.request,
            },
        )
        self._edge(f"release:{trace.task}#{trace.release}", here, "answered")
        return here

    def around(self, asked: str, subject: Subject) -> Lineage:
        """What leads to the subject and what follows from it, in the order of the data."""
        focus = tuple(node.id for node in self.nodes.values() if subject.is_about(node))
        kept = reachable(self.edges.values(), focus)
        if subject.kind == "file":
            # Other inputs of the contests that came of a file are not what it led to.
            forward = reachable([e for e in self.edges.values() if e.target not in focus], focus)
            kept &= forward
        nodes = sorted(
            (node for node in self.nodes.values() if node.id in kept),
            key=lambda node: ORDER.index(node.kind),
        )
        there = {node.name for node in nodes if node.kind == "channel"}
        looks = [look for group in self.looks.values() for look in group]
        return Lineage(
            subject=asked,
            focus=focus,
            nodes=tuple(nodes),
            edges=tuple(e for e in self.edges.values() if e.source in kept and e.target in kept),
            moves=tuple(m for m in self.moves if f"{m.task}@{m.channel}" in there),
            looks=tuple(sorted(looks, key=lambda look: look.at)),
        )

    def _inputs(self, contest: Contest, here: str) -> None:
        ledger = self.context.ledger
        for role, digest in (("examples", contest.examples), ("test", contest.holdout)):
            if digest is None or (role == "test" and contest.regime != "test_file"):
                continue
            for dataset in ledger.dataset_records(digest, contest.task, role):
                relation = "trained on" if role == "examples" else "certified on"
                self._edge(self.add_dataset(dataset), here, relation)
        if contest.task not in self.versions:
            self.versions[contest.task] = ledger.task_versions(contest.task)
        version = next(v for v in self.versions[contest.task] if v.digest == contest.task_version)
        task = self._add(
            "task",
            f"{contest.task}@{version.digest}",
            name=f"{contest.task} version {version.number}",
            digest=version.digest,
            at=version.created,
            actor=version.actor,
            words=words.shorten(version.task.instruction, 80),
            facts={"task": contest.task, "number": version.number},
        )
        self._edge(task, here, "asked by")
        code = self._add("code", contest.code, name=f"milepost {contest.code}")
        self._edge(code, here, "run by")

    def _candidate(self, contest: Contest, candidate: Candidate, contest_node: str) -> None:
        card = candidate.scorecard
        quality = (
            f"{words.metric_name(card.metric)} {words.measured(card.objective)}"
            if card
            else words.first_sentence(candidate.error or "", 70)
        )
        here = self._add(
            "candidate",
            candidate.id,
            name=candidate.strategy,
            words=quality,
            facts={
                "id": candidate.id,
                "contest": contest.id,
                "strategy": candidate.strategy,
                "chosen": candidate.chosen,
                "metric": card.metric if card else None,
                "value": card.objective.value if card else None,
                "low": card.objective.low if card else None,
                "high": card.objective.high if card else None,
                "n": card.objective.n if card else None,
            },
        )
        self._edge(contest_node, here, "chosen in" if candidate.chosen else "took part in")
        self._asked(contest, candidate, here)
        if candidate.predictions is not None:
            predictions = self._add(
                "predictions",
                candidate.predictions,
                name="predictions",
                digest=candidate.predictions,
                words="what the scorecard was measured on",
                facts={"candidate": candidate.id},
            )
            self._edge(here, predictions, "answered")
        if candidate.bundle is not None:
            self._edge(here, self._bundle(candidate, here), "stored as")

    def _asked(self, contest: Contest, candidate: Candidate, here: str) -> None:
        """What a candidate asks; of a cascade, each rung with what it asks."""
        parts = self.parts.of(contest, candidate)
        card = candidate.scorecard
        promise = card.cascade.promise if card is not None and card.cascade is not None else None
        for place, part in enumerate(parts):
            asking = here
            if part.name:
                asking = self._put(rung_node(str(candidate.bundle), place, parts, promise))
                self._edge(asking, here, "rung of")
            for version in part.upstreams:
                self._edge(self.add_upstream(version, contest.started), asking, "asked by")
            for prompt in part.prompts:
                self._edge(self.add_prompt(prompt), asking, "filled in by")

    def _bundle(self, candidate: Candidate, candidate_node: str) -> str:
        digest = candidate.bundle or Digest("")
        manifest, warning = None, ""
        try:
            manifest = bundle_manifest(self.context, digest)
        except MilepostError as error:
            warning = error.what
        size = sum(file.size for file in manifest.files) if manifest else None
        here = self._add(
            "bundle",
            digest,
            name="bundle",
            digest=digest,
            words=(
                f"{words.count(len(manifest.files), 'file')}, {words.count(size or 0)} bytes"
                if manifest
                else ""
            ),
            warning=warning,
            facts={
                "candidate": candidate.id,
                "bytes": size,
                "files": {file.name: file.sha256 for file in manifest.files} if manifest else {},
            },
        )
        provenance = candidate.scorecard.provenance if candidate.scorecard else {}
        if manifest is not None and manifest.encoder is not None:
            encoder = self._add(
                "encoder",
                f"{manifest.encoder}/{manifest.variant}",
                name=provenance.get("encoder_name") or "encoder",
                digest=manifest.encoder,
                words=manifest.variant or "",
                facts={"variant": manifest.variant},
            )
            self._edge(encoder, candidate_node, "read by")
        return here

    def _release(self, release: Release) -> None:
        ledger = self.context.ledger
        here = self._add(
            "release",
            f"{release.task}#{release.number}",
            name=f"release {release.number}",
            digest=release.digest or None,
            at=release.created,
            actor=release.actor,
            words=release.strategy,
            facts={
                "task": release.task,
                "number": release.number,
                "strategy": release.strategy,
                "candidate": release.candidate,
                "contest": release.contest,
                "bundle": release.bundle,
                "channels": [
                    each.name
                    for each in self._channels(release.task)
                    if each.release == release.number
                ],
            },
        )
        self._edge(f"bundle:{release.bundle}", here, "released as")
        for approval in ledger.approvals(release.task, release.number).approvals:
            said = self._add(
                "approval",
                f"{release.task}#{release.number}/{approval.actor}",
                name=f"approval of release {release.number}",
                at=approval.at,
                actor=approval.actor,
                words=approval.reason,
                facts={"role": approval.role, "release": release.number},
            )
            self._edge(said, here, "approved")
        self._channel_of(release, here)

    def _channel_of(self, release: Release, release_node: str) -> None:
        for channel in self._channels(release.task):
            moved = [m for m in self.moves if (m.task, m.channel) == (channel.task, channel.name)]
            ran = channel.release == release.number
            if not ran and not any(move.after == release.number for move in moved):
                continue
            last = moved[-1] if moved else None
            node = self._add(
                "channel",
                f"{channel.task}@{channel.name}",
                name=f"{channel.task}@{channel.name}",
                at=last.at if last else None,
                actor=last.actor if last else None,
                words=f"at release {channel.release}",
                facts={
                    "task": channel.task,
                    "channel": channel.name,
                    "release": channel.release,
                    "previous": channel.previous,
                    "version": channel.version,
                },
            )
            self._edge(release_node, node, "runs in" if ran else "ran in")

    def _channels(self, task: str) -> tuple[Channel, ...]:
        """The channels of a task; their moves are read with them, once."""
        if task not in self.channels:
            self.channels[task] = self.context.ledger.channels(task)
            for channel in self.channels[task]:
                entries = self.context.ledger.audit(
                    subject=f"{task}@{channel.name}", action="channel.moved"
                )
                self.moves += (_move(entry, channel) for entry in reversed(entries))
        return self.channels[task]

    def _file(self, source: SourceFile) -> str:
        return self._add(
            "file",
            f"{source.path}@{source.sha256}",
            name=source.path,
            digest=source.sha256,
            words=words.count(source.rows, "row"),
            warning=self._since(source),
            facts={"path": source.path, "rows": source.rows},
        )

    def _since(self, source: SourceFile) -> str:
        """What became of a raw file since it was read."""
        if source.path not in self.read_now:
            path = Path(self.context.root, source.path)
            try:
                self.read_now[source.path] = sha256_file(path) if path.is_file() else ""
            except OSError:
                self.read_now[source.path] = ""
        now = self.read_now[source.path]
        if not now:
            return "the file is not there now"
        return "" if now == source.sha256 else "the file is different now"

    def _add(
        self,
        kind: NodeKind,
        key: str,
        *,
        name: str,
        facts: Mapping[str, object] | None = None,
        **more: object,
    ) -> str:
        plain = {"id": f"{kind}:{key}", "kind": kind, "name": name, "facts": dict(facts or {})}
        return self._put(Node(**plain, **more))  # pyright: ignore[reportArgumentType]

    def _put(self, node: Node) -> str:
        self.nodes.setdefault(node.id, node)
        return node.id

    def _edge(self, source: str, target: str, relation: str) -> None:
        if source in self.nodes and target in self.nodes:
            self.edges[source, target] = Edge(source=source, target=target, relation=relation)


def _move(entry: AuditEntry, channel: Channel) -> Move:
    before, after = entry.details.get("from"), entry.details.get("to")
    return Move(
        task=channel.task,
        channel=channel.name,
        at=entry.at,
        actor=entry.actor,
        reason=entry.reason,
        before=before if isinstance(before, int) else None,
        after=after if isinstance(after, int) else 0,
    )
