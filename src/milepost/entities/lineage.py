"""Where something came from and what came of it: a graph of records, and what happens in a run."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from milepost.entities.ids import ContestId, Digest
from milepost.entities.release import Look

NodeKind = Literal[
    "file",
    "snapshot",
    "task",
    "code",
    "encoder",
    "upstream",
    "prompt",
    "contest",
    "rung",
    "candidate",
    "predictions",
    "bundle",
    "approval",
    "release",
    "channel",
    "answer",
]
"""In the order in which data flows."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One record in the graph.

    Attributes:
        id: Unique in the graph and the same at each call, such as ``release:route#3``.
        kind: What it is.
        name: A short name, such as ``release 3``.
        digest: SHA-256 of its content; ``None`` where there is none.
        at: When it was made, UTC; ``None`` where that is not recorded.
        actor: Who made it; ``None`` where that is not recorded.
        words: What is worth knowing, as one line.
        warning: What no longer holds, as one sentence; empty for nothing.
        facts: The same and more for programs; values are JSON.
    """

    id: str
    kind: NodeKind
    name: str
    digest: Digest | None = None
    at: datetime | None = None
    actor: str | None = None
    words: str = ""
    warning: str = ""
    facts: dict[str, object] = {}


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One record went into another.

    Attributes:
        source: Id of the earlier node.
        target: Id of the later node.
        relation: What the source was to the target, such as ``trained on``.
    """

    source: str
    target: str
    relation: str


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One move of a channel, as the audit log has it.

    Attributes:
        task: Name of the task.
        channel: Name of the channel.
        at: When, UTC.
        actor: Who.
        reason: Why, in words.
        before: Release that it pointed at; ``None`` at first.
        after: Release that it points at since.
    """

    task: str
    channel: str
    at: datetime
    actor: str
    reason: str
    before: int | None
    after: int


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a thing came from and what came of it.

    Attributes:
        subject: What was asked for, in the words of whoever asked.
        focus: Ids of the nodes that this is.
        nodes: In the order in which data flows.
        edges: From earlier to later nodes.
        moves: Moves of the channels in the graph, oldest first.
        looks: Looks at what the contests in the graph were judged on, oldest first.
    """

    subject: str
    focus: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    moves: tuple[Move, ...] = ()
    looks: tuple[Look, ...] = ()

    def of_kind(self, kind: NodeKind) -> tuple[Node, ...]:
        """The nodes of one kind, in their order."""
        return tuple(node for node in self.nodes if node.kind == kind)


def reachable(edges: Iterable[Edge], start: Iterable[str]) -> frozenset[str]:
    """Ids of ``start`` and of all that they came from and all that came of them."""
    known = tuple(edges)
    found: set[str] = set()
    for forwards in (True, False):
        steps: dict[str, list[str]] = {}
        for edge in known:
            here, there = (edge.source, edge.target) if forwards else (edge.target, edge.source)
            steps.setdefault(here, []).append(there)
        seen, waiting = set(start), list(start)
        while waiting:
            for there in steps.get(waiting.pop(), ()):
                if there not in seen:
                    seen.add(there)
                    waiting.append(there)
        found |= seen
    return frozenset(found)


RunState = Literal["START", "COMPLETE", "FAIL", "ABORT"]
"""States of a run in the words of OpenLineage. ``ABORT``: somebody interrupted it."""


class RunNews(msgspec.Struct, frozen=True, kw_only=True):
    """What a listener outside is told about a contest.

    Attributes:
        state: What happened.
        at: When, UTC.
        workspace: Folder of the workspace.
        task: Name of the task.
        contest: Its id; the same in all news of one run.
        files: Data files that the task names.
        started: When the contest began, UTC.
        lineage: What went in and what came out; ``None`` before it is known.
        error: What went wrong, for ``FAIL``.
    """

    state: RunState
    at: datetime
    workspace: str
    task: str
    contest: ContestId
    files: tuple[str, ...] = ()
    started: datetime | None = None
    lineage: Lineage | None = None
    error: str | None = None
