"""What somebody means who asks for a lineage: a channel, a release, a task, a file or a digest."""

import re
from dataclasses import dataclass
from pathlib import Path

from milepost._base.digest import sha256_file
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import Dataset
from milepost.entities.lineage import Node, NodeKind
from milepost.entities.prompts import PromptVersion
from milepost.entities.upstream import UpstreamVersion
from milepost.storage.ledger import Ledger
from milepost.storage.records.lineage import Found
from milepost.workflows.prompts.versions import prompt_digests

PROMPT: NodeKind = "prompt"
UPSTREAM: NodeKind = "upstream"
SHORTEST = 6
"""Fewest digits of a digest that are looked up."""
SHOWN = 8
MOST_RELEASES = 100
"""The most releases of a task that are followed at once, the newest."""
_DIGITS = re.compile(r"c?[0-9a-f]{6,64}(-[a-z0-9_]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was meant.

    Attributes:
        kind: What kind of node it is.
        keys: What tells those nodes: their id's last part, or a digest.
        contests: The contests that it has to do with.
        datasets: Snapshots that no contest may have used yet.
        upstreams: Versions of an upstream that nobody may have asked yet.
        prompts: Versions of a prompt that nobody may have asked yet.
    """

    kind: NodeKind
    keys: frozenset[str]
    contests: tuple[Contest, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    upstreams: tuple[UpstreamVersion, ...] = ()
    prompts: tuple[PromptVersion, ...] = ()

    def is_about(self, node: Node) -> bool:
        """Whether a node is what was meant."""
        if node.kind != self.kind:
            return False
        return bool(self.keys & {node.id.split(":", 1)[1], node.digest or "", node.name})

    def wants(self, candidate: Candidate) -> bool:
        """Whether a candidate that was not chosen is what was meant."""
        told = {candidate.id, str(candidate.bundle), str(candidate.predictions)}
        told.add(candidate.scorecard.provenance.get("encoder", "") if candidate.scorecard else "")
        told.update(prompt_digests(candidate))
        told.update(f"{UPSTREAM}/{asked.upstream}" for asked in candidate.asked)
        return bool(self.keys & told)


def find_subject(ledger: Ledger, root: Path, asked: str) -> Subject:
    """What is meant by ``asked``.

    Raises:
        UnknownNameError: If nothing is called that; offers the nearest name.
        InputError: If it fits several things; names them.
    """
    asked = asked.strip()
    tasks = ledger.tasks()
    if asked in tasks:
        return _task(ledger, asked)
    for mark, kind in (("@", "channel"), ("#", "release")):
        task, found, rest = asked.partition(mark)
        if found and (task in tasks or not _is_file(root, asked)):
            if task not in tasks:
                raise UnknownNameError("task", task, tasks)
            return _channel(ledger, task, rest) if kind == "channel" else _release(
                ledger, task, rest
            )  # fmt: skip
    datasets = ledger.datasets()
    named = _files(root, asked, datasets)
    if named:
        return _from_files(ledger, named, datasets)
    if _DIGITS.fullmatch(asked):
        return _digest(ledger, asked, datasets)
    found = _prompt(ledger, asked, tasks) or _upstream(ledger, asked)
    if found is not None:
        return found
    raise _unknown(ledger, asked, tasks, datasets)


def _task(ledger: Ledger, task: str) -> Subject:
    releases = ledger.releases(task, MOST_RELEASES)
    if not releases:
        raise InputError(
            f"the task {task!r} has no release yet.",
            advice=f"Run `milepost improve {task}`, or ask for a data file or a contest.",
        )
    contests = tuple(ledger.contest(name) for name in dict.fromkeys(r.contest for r in releases))
    keys = frozenset(f"{task}#{release.number}" for release in releases)
    return Subject(kind="release", keys=keys, contests=contests[::-1])


def _channel(ledger: Ledger, task: str, name: str) -> Subject:
    channels = ledger.channels(task)
    channel = next((each for each in channels if each.name == name), None)
    if channel is None:
        if not channels:
            return _task(ledger, task)
        raise UnknownNameError(f"channel of {task!r}", name, [each.name for each in channels])
    contest = ledger.contest(ledger.release(task, channel.release).contest)
    return Subject(kind="release", keys=frozenset({f"{task}#{channel.release}"}),
                   contests=(contest,))  # fmt: skip


def _release(ledger: Ledger, task: str, number: str) -> Subject:
    numbers = [str(release.number) for release in ledger.releases(task)]
    if number not in numbers:
        raise UnknownNameError(f"release of {task!r}", number, numbers)
    contest = ledger.contest(ledger.release(task, int(number)).contest)
    return Subject(kind="release", keys=frozenset({f"{task}#{number}"}), contests=(contest,))


def _prompt(ledger: Ledger, asked: str, tasks: tuple[str, ...]) -> Subject | None:
    """A prompt as the audit log names it, ``route/prompt/2`` or ``route/prompt/production``."""
    task, mark, which = asked.partition(f"/{PROMPT}/")
    if not mark or task not in tasks:
        return None
    versions = ledger.prompts(task)
    aliases = {each.alias: each.number for each in ledger.prompt_aliases(task)}
    numbers = {str(version.number): version for version in versions}
    version = numbers.get(str(aliases.get(which, which)))
    if version is None:
        raise UnknownNameError(f"prompt of {task!r}", which, [*aliases, *numbers])
    return _from_prompt(ledger, version)


def _from_prompt(ledger: Ledger, version: PromptVersion) -> Subject:
    return Subject(
        kind=PROMPT,
        keys=frozenset({f"{version.task}/{version.number}", version.digest}),
        contests=tuple(
            contest
            for contest in ledger.contests_with(PROMPT, [version.digest])
            if contest.task == version.task
        ),
        prompts=(version,),
    )


def _upstream(ledger: Ledger, asked: str) -> Subject | None:
    """An upstream, ``big`` or ``upstream/big``, or one of its versions, ``upstream/big/2``."""
    name, mark, number = asked.removeprefix(f"{UPSTREAM}/").partition("/")
    versions = ledger.upstream_versions(name)
    if not versions:
        return None
    wanted = [v for v in versions if v.upstream is not None and number in ("", str(v.number))]
    if not wanted or (mark and not number):
        raise UnknownNameError(f"version of {name!r}", number, [str(v.number) for v in versions])
    return _from_upstream(ledger, tuple(wanted))


def _from_upstream(ledger: Ledger, versions: tuple[UpstreamVersion, ...]) -> Subject:
    name = versions[0].name
    keys = {f"{name}/{version.number}" for version in versions} | {f"{UPSTREAM}/{name}"}
    contests = ledger.contests_with(UPSTREAM, [name])
    return Subject(kind=UPSTREAM, keys=frozenset(keys), contests=contests, upstreams=versions)


def _is_file(root: Path, asked: str) -> bool:
    try:
        return Path(asked).is_file() or Path(root, asked).is_file()
    except (OSError, ValueError):
        return False


def _files(root: Path, asked: str, datasets: tuple[Dataset, ...]) -> frozenset[str]:
    """Digests of the raw files that a path means: as it was read then, else as it is now."""
    sources = [source for dataset in datasets for source in dataset.sources]
    named = frozenset(f"{s.path}@{s.sha256}" for s in sources if s.path == asked)
    if named or not _is_file(root, asked):
        return named
    for place in (Path(asked), Path(root, asked)):
        if not place.is_file():
            continue
        whole = place.resolve()
        named = frozenset(
            f"{s.path}@{s.sha256}" for s in sources if Path(root, s.path).resolve() == whole
        )
        if not named:
            now = sha256_file(place)
            named = frozenset(f"{s.path}@{s.sha256}" for s in sources if s.sha256 == now)
        if named:
            break
    return named


def _from_files(ledger: Ledger, named: frozenset[str], datasets: tuple[Dataset, ...]) -> Subject:
    read = tuple(
        dataset
        for dataset in datasets
        if any(f"{source.path}@{source.sha256}" in named for source in dataset.sources)
    )
    contests = ledger.contests_with("snapshot", sorted({dataset.digest for dataset in read}))
    return Subject(kind="file", keys=named, contests=contests, datasets=read)


def _digest(ledger: Ledger, prefix: str, datasets: tuple[Dataset, ...]) -> Subject:
    """What a digest, an id or the beginning of one belongs to."""
    files = {
        f"{source.path}@{source.sha256}": source
        for dataset in datasets
        for source in dataset.sources
        if source.sha256.startswith(prefix)
    }
    found = ledger.find(prefix)
    exact = [each for each in found if each.key == prefix]
    found = tuple(exact) or found
    choices = {_in_words(each): each for each in found}
    raw = frozenset(source.sha256 for source in files.values())
    if len(choices) + len(raw) > 1:
        offered = [*choices, *(f"file {s.path} {s.sha256[:12]}" for s in files.values())]
        shown = "; ".join(sorted(offered)[:SHOWN]) + ("; …" if len(offered) > SHOWN else "")
        raise InputError(
            f"{prefix!r} fits {len(offered)} things.", advice=f"Give more digits: {shown}."
        )
    if raw:
        return _from_files(ledger, frozenset(files), datasets)
    if not found:
        raise InputError(
            f"no digest, contest or candidate begins with {prefix!r}.",
            advice="`milepost releases TASK` and `milepost candidates TASK` show them.",
        )
    return _from_record(ledger, next(iter(choices.values())), datasets)


def _from_record(ledger: Ledger, found: Found, datasets: tuple[Dataset, ...]) -> Subject:
    if found.kind == "release":
        return _release(ledger, found.task, found.key)
    if found.kind in ("snapshot", "task", "encoder"):
        return Subject(
            kind=found.kind,
            keys=frozenset({found.key}),
            contests=ledger.contests_with(found.kind, [found.key]),
            datasets=tuple(each for each in datasets if each.digest == found.key),
        )
    if found.kind == PROMPT:
        return _from_prompt(ledger, ledger.prompt(found.task, int(found.key)))
    if found.kind == UPSTREAM:
        name, _, number = found.key.rpartition("/")
        known = [v for v in ledger.upstream_versions(name) if str(v.number) == number]
        return _from_upstream(ledger, tuple(known))
    if found.kind == "contest":
        contests = (ledger.contest(found.key),)
        return Subject(kind="contest", keys=frozenset({found.key}), contests=contests)
    candidate = ledger.candidate(found.key)
    digest = {"predictions": candidate.predictions, "bundle": candidate.bundle}.get(found.kind)
    keys = frozenset({digest or candidate.id})
    return Subject(kind=found.kind, keys=keys, contests=(ledger.contest_of(candidate.id),))


def _in_words(found: Found) -> str:
    shown = found.key if not re.fullmatch(r"[0-9a-f]{64}", found.key) else found.key[:12]
    task = f" of {found.task}" if found.task else ""
    return f"{found.kind} {shown}{task}"


def _unknown(
    ledger: Ledger, asked: str, tasks: tuple[str, ...], datasets: tuple[Dataset, ...]
) -> UnknownNameError:
    files = {source.path for dataset in datasets for source in dataset.sources}
    channels = [f"{c.task}@{c.name}" for task in tasks for c in ledger.channels(task)]
    upstreams = [f"{UPSTREAM}/{each.name}" for each in ledger.upstreams()]
    return UnknownNameError(
        "task, release, channel, data file, prompt, upstream or digest",
        asked,
        [*tasks, *channels, *sorted(files), *upstreams],
    )
