"""Which language models a candidate asks, and with which prompts: rung by rung, from the ledger."""

from dataclasses import dataclass, field
from datetime import datetime

from milepost._base.digest import digest_of
from milepost.entities.asked import Part
from milepost.entities.cascade import Promise
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import StorageError
from milepost.entities.lineage import Node
from milepost.entities.prompts import PromptVersion
from milepost.entities.upstream import UpstreamVersion
from milepost.predictors.base import Predictor
from milepost.predictors.cascade import CascadePredictor
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.predictors.scoped import ScopedPredictor
from milepost.reports import words
from milepost.reports.asked import price_words
from milepost.workflows.context import Context
from milepost.workflows.prompts.versions import prompt_digests
from milepost.workflows.release.bundles import load_bundle


@dataclass(slots=True, eq=False)
class Parts:
    """Finds what candidates ask; every version is read once. One thread.

    Args:
        context: The workspace.
    """

    context: Context
    _upstreams: dict[str, tuple[UpstreamVersion, ...]] = field(default_factory=dict)
    _prompts: dict[str, dict[str, PromptVersion]] = field(default_factory=dict)

    def of(self, contest: Contest, candidate: Candidate) -> tuple[Part, ...]:
        """Its rungs, the cheapest first; one part without a name where it is no cascade.

        Nothing of a candidate that asks nobody, nor of a cascade whose bundle is gone or damaged.
        """
        card = candidate.scorecard
        if card is not None and card.cascade is not None:
            return self._rungs(contest, candidate)
        digests = prompt_digests(candidate)
        names = dict.fromkeys(_names(candidate))
        if not names and not digests:
            return ()
        return (self._part(contest, "", tuple(names), digests),)

    def asked_then(self, name: str, contest: Contest) -> UpstreamVersion | None:
        """The version of an upstream that a contest asked; ``None`` where there is none.

        Where it has not kept which one that was, the one in force when it began.
        """
        every = (each for candidate in contest.candidates for each in candidate.asked)
        kept = {asked.version for asked in every if asked.upstream == name}
        known = [each for each in self.versions(name) if each.upstream is not None]
        for version in known:
            if version.digest in kept:
                return version
        before = [each for each in known if each.created <= contest.started]
        return (before or known or [None])[-1 if before else 0]

    def versions(self, name: str) -> tuple[UpstreamVersion, ...]:
        """All that was ever known of an upstream, oldest first."""
        if name not in self._upstreams:
            self._upstreams[name] = self.context.ledger.upstream_versions(name)
        return self._upstreams[name]

    def prompts(self, task: str) -> dict[str, PromptVersion]:
        """Versions of a task's prompt by the digest of their template."""
        if task not in self._prompts:
            known = self.context.ledger.prompts(task)
            self._prompts[task] = {version.digest: version for version in known}
        return self._prompts[task]

    def _rungs(self, contest: Contest, candidate: Candidate) -> tuple[Part, ...]:
        if candidate.bundle is None:
            return ()
        try:
            predictor = load_bundle(self.context, candidate.bundle)[0]
        except StorageError:
            return ()
        if not isinstance(predictor, CascadePredictor):
            return ()
        rungs: list[Predictor | None] = [*predictor.rungs, *([None] if predictor.person else [])]
        return tuple(
            self._part(contest, name, rung.upstreams if rung else (), _templates(rung))
            for name, rung in zip(predictor.names, rungs, strict=True)
        )

    def _part(
        self, contest: Contest, name: str, upstreams: tuple[str, ...], digests: tuple[str, ...]
    ) -> Part:
        asked = (self.asked_then(each, contest) for each in upstreams)
        known = self.prompts(contest.task)
        return Part(
            name=name,
            upstreams=tuple(each for each in asked if each is not None),
            prompts=tuple(known[digest] for digest in digests if digest in known),
        )


def _names(candidate: Candidate) -> list[str]:
    """Upstreams that it asks, and that it asked until it was judged."""
    named = candidate.parameters.get("upstream")
    told = [asked.upstream for asked in candidate.asked]
    return [str(named), *told] if named else told


def _templates(predictor: Predictor | None) -> tuple[str, ...]:
    """Digests of the prompts that a rung asks."""
    if isinstance(predictor, ScopedPredictor):
        return _templates(predictor.inner)
    if not isinstance(predictor, PromptedPredictor):
        return ()
    return tuple(digest_of(template) for template in predictor.templates)


def upstream_node(version: UpstreamVersion, newest: UpstreamVersion, at: datetime) -> Node:
    """A version of an upstream, with what it cost on a day and what became of it since."""
    known = version.upstream
    price = known.price(at.date()) if known else None
    told = [known.model, price_words(price)] if known else ["removed"]
    told += [f"falls back on {', '.join(known.fallback)}"] if known and known.fallback else []
    since = "" if newest.number == version.number else "it was removed since"
    if since and newest.upstream is not None:
        since = f"it was changed since, and is version {newest.number} now"
    return Node(
        id=f"upstream:{version.name}/{version.number}",
        kind="upstream",
        name=f"{version.name} version {version.number}",
        digest=version.digest,
        at=version.created,
        actor=version.actor,
        words=", ".join(told),
        warning=since,
        facts={
            "upstream": version.name,
            "number": version.number,
            "model": known.model if known else None,
            "wire": known.wire if known else None,
            "licence": known.licence if known else "",
            "terms": known.terms if known else "",
            "micro_usd_per_million_in": price.input if price else None,
            "micro_usd_per_million_out": price.output if price else None,
            "price_since": str(price.since) if price else None,
            "fallback": list(known.fallback) if known else [],
        },
    )


def prompt_node(version: PromptVersion) -> Node:
    """A version of a task's prompt."""
    template = version.template
    shots = f", {words.count(template.shots, 'example')}" if template.shots else ""
    return Node(
        id=f"prompt:{version.task}/{version.number}",
        kind="prompt",
        name=f"prompt {version.number} of {version.task}",
        digest=version.digest,
        at=version.created,
        actor=version.actor,
        words=f"{_ORIGINS.get(version.origin, f'found in contest {version.origin}')}, "
        f"answers with a {template.answer}{shots}",
        facts={
            "task": version.task,
            "number": version.number,
            "origin": version.origin,
            "parent": version.parent,
            "note": version.note,
            "answer": template.answer,
            "shots": template.shots,
        },
    )


_ORIGINS = {"hand": "written by hand", "milepost": "built in"}


def rung_node(bundle: str, place: int, parts: tuple[Part, ...], promise: Promise | None) -> Node:
    """A rung of a cascade, with what it did on the rows that certified its promise."""
    name = parts[place].name
    done = promise.rungs[place] if promise and len(promise.rungs) == len(parts) else None
    told = ""
    if promise and done:
        share = f"{100 * done.answered / max(promise.labels, 1):.0f} %"
        told = f"answered {share} of {promise.labels} certifying examples"
        told += "" if done.wrong is None else f", {done.wrong} of {done.answered} wrong"
    return Node(
        id=f"rung:{bundle}/{place + 1}",
        kind="rung",
        name=f"rung {place + 1} of {len(parts)}: {name}",
        words=told,
        facts={
            "number": place + 1,
            "name": name,
            "threshold": promise.threshold if promise and place < len(parts) - 1 else None,
            "answered": done.answered if done else None,
            "wrong": done.wrong if done else None,
            "labels": promise.labels if promise else None,
            "usd_per_1k": done.usd_per_1k if done else None,
        },
    )
