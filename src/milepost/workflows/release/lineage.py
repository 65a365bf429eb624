"""Lineage from raw file to release and back, read from the ledger and from nothing else."""

from collections.abc import Iterable

from milepost.entities.contest import Contest
from milepost.entities.lineage import Lineage, Node
from milepost.serving.recording.ids import is_id
from milepost.workflows.context import Context
from milepost.workflows.release.graph import Graph
from milepost.workflows.release.subjects import Subject, find_subject
from milepost.workflows.serving.recording import trace


def lineage(context: Context, asked: str) -> Lineage:
    """What a thing came from and what came of it.

    Args:
        context: The workspace.
        asked: ``route@production``, ``route#3``, ``route`` for all its releases, a raw file's
            path, ``route/prompt/2`` or ``upstream/big``, at least six digits of a digest, contest
            or candidate, or the id of a trace.

    Raises:
        UnknownNameError: If nothing is called that; offers the nearest name.
        InputError: If it fits several things; names them.
    """
    if is_id(asked.strip()):
        return _of_answer(context, asked.strip())
    subject = find_subject(context.ledger, context.root, asked)
    graph = Graph(context, subject)
    for contest in subject.contests:
        graph.add_contest(contest)
    for dataset in subject.datasets:
        graph.add_dataset(dataset)
    for version in subject.upstreams:
        graph.add_upstream(version)
    for prompt in subject.prompts:
        graph.add_prompt(prompt)
    return graph.around(asked, subject)


def _of_answer(context: Context, asked: str) -> Lineage:
    """What a recorded answer came from: its release, and all that went into that."""
    answer = trace(context, asked)
    contest = context.ledger.contest(context.ledger.release(answer.task, answer.release).contest)
    subject = Subject(kind="answer", contests=(contest,), keys=frozenset({answer.id}))
    graph = Graph(context, subject)
    graph.add_contest(contest)
    graph.add_answer(answer)
    return graph.around(asked, subject)


def lineage_of_contest(context: Context, contest: Contest) -> Lineage:
    """What a contest was made of and what came of it."""
    subject = Subject(kind="contest", contests=(contest,), keys=frozenset({contest.id}))
    graph = Graph(context, subject)
    graph.add_contest(contest)
    return graph.around(contest.id, subject)


def contests_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Ids of the contests among nodes."""
    return tuple(str(node.facts["id"]) for node in nodes if node.kind == "contest")
