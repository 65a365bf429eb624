"""Move tasks to another encoder, with evidence for each: ``milepost migrate --encoder X``.

Every task is judged first; nothing that answers changes meanwhile. Then one transaction concludes
all contests and moves what moves, so that at any moment either none of it happened or all. Where
each encoder lies is written before, so that a server finds it as soon as a release needs it. A
process that ends without a word leaves its job to the next one that asks for the same.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from milepost._base.digest import digest_of
from milepost.entities.configuration import parse_configuration
from milepost.entities.contest import Contest
from milepost.entities.errors import ConflictError, InputError
from milepost.entities.ids import Digest
from milepost.entities.job import Plan
from milepost.entities.migration import EncoderNamed, Migration, MovedTask
from milepost.models.images.trunk import reads_texts
from milepost.workflows.context import Context
from milepost.workflows.encoders import places
from milepost.workflows.ledger_address import FILE, with_places
from milepost.workflows.migrating.deciding import Decided, concluded, decide, row_of
from milepost.workflows.migrating.judging import Judged, Judging, judged_contests
from milepost.workflows.migrating.options import MigrateOptions, asked_tasks, encoder_spec
from milepost.workflows.serving.fidelity import check_released
from milepost.workflows.tasks.files import write_whole
from milepost.workflows.upkeep.jobs import Work, working
from milepost.workflows.versions import code_version

KIND = "migrate"
"""Kind of the jobs that migrations are."""

_JUDGED = 0.9
"""Share of the job that is done once every task is judged."""

_TRIES = 3

_LONG = "a long text " * 4096
"""More tokens than any encoder reads: one whose weights have fewer positions than its configuration
says fails on it, and not on the first task with a long text."""


@dataclass(frozen=True, slots=True, eq=False)
class _Both:
    """The workspace, and the same on the other encoder."""

    here: Context
    there: Context
    source: EncoderNamed
    target: EncoderNamed


def migrate(context: Context, options: MigrateOptions) -> tuple[Migration, Context]:
    """Judge tasks on another encoder, and move those that the verdicts allow.

    Goes on with a migration that was interrupted, where encoder, loss and tasks are the same.

    Returns:
        What it came to, and the workspace as it is now.

    Raises:
        UnknownNameError: If there is no such task or encoder.
        InputError: If an option cannot be used, or ``milepost.toml`` cannot be changed.
        EncoderError: If the encoder is not there, cannot be exported, or fails on a long text.
        HeldError: If another process migrates at this moment.
    """
    names = asked_tasks(context.root, options)
    both = _both(context, options.encoder)
    _text(both)  # a file that cannot be changed is found before any work
    context.record_configuration()
    started = time.monotonic()
    with working(context, _plan(both, options, names)) as work:
        spent = work.spent
        judging = Judging.begin(context, both.there, work, options.loss)
        judged = [
            judging.task(name, (_JUDGED * at / len(names), _JUDGED * (at + 1) / len(names)))
            for at, name in enumerate(names)
        ]
        work.tell("moving", _JUDGED)
        decided = _conclude(both, work, options, judged)
        rows = [row_of(each, decided.contests.get(each.task)) for each in judged]
        held_with = _hold_with(both, options, judged, rows)
        _check_on_fast(both, work, [each for each in decided.contests.values() if each.release])
    migration = Migration(
        source=both.source,
        target=both.target,
        move=options.move,
        loss=options.loss,
        tasks=tuple(rows),
        together=decided.together,
        reason=decided.reason,
        held_with=held_with,
        seconds=spent + time.monotonic() - started,
    )
    return migration, _now(both, held_with)


def _both(context: Context, written: str) -> _Both:
    """Both encoders, opened: one that cannot be had or run is found before anything is recorded."""
    encoders = context.encoders
    if encoders is None:
        raise InputError("this workspace knows no other encoder.", where="encoder")
    spec = encoder_spec(context.root, written)
    there = context.on(encoders.open(spec))
    if reads_texts(there.bare_encoder()):
        there.bare_encoder().encode([_LONG])
    source = _named(context, context.configuration.encoder)
    target = _named(there, spec)
    for each in (source, target):
        encoders.note(each.digest, each.spec)
    return _Both(context, there, source, target)


def _named(context: Context, spec: str) -> EncoderNamed:
    encoder = context.encoder()
    return EncoderNamed(
        spec=spec,
        name=encoder.name,
        digest=Digest(encoder.digest),
        dimensions=encoder.dimensions,
    )


def _plan(both: _Both, options: MigrateOptions, names: Sequence[str]) -> Plan:
    made_of = [both.target.digest, names, options.loss, both.here.settings, code_version()]
    return Plan(
        kind=KIND,
        subject="encoder",
        key=Digest(digest_of(made_of)),
        arguments={
            "encoder": both.target.spec,
            "tasks": list(names) if options.tasks else None,
            "move": options.move,
            "loss": options.loss,
        },
    )


def _conclude(both: _Both, work: Work, options: MigrateOptions, judged: list[Judged]) -> Decided:
    """Decide and write all of it, once: a later process finds it done."""
    contests = judged_contests(both.here, judged)
    done = work.reach(lambda: concluded(both.here, options, contests))
    if done is not None or not contests:
        return done or Decided({})
    versions = {each.task: each.version for each in judged}
    for attempt in range(1, _TRIES + 1):
        decided = decide(both.here, options, contests, judged)
        if any(each.decision.verdict == "released" for each in decided.contests.values()):
            # Before the releases: a server looks for their encoder as soon as it sees one.
            write_whole(both.here.root / FILE, _text(both).encode())
        try:
            return _written(both, work, options, decided, versions)
        except ConflictError:
            # Somebody moved a channel at this moment: that task is decided anew.
            if attempt == _TRIES:
                raise
    raise AssertionError


def _written(
    both: _Both,
    work: Work,
    options: MigrateOptions,
    decided: Decided,
    versions: Mapping[str, int],
) -> Decided:
    """What was decided, written in one transaction."""
    pairs = [(each, versions[name]) for name, each in decided.contests.items()]
    moving = sum(each.decision.verdict == "released" for each, _ in pairs)
    said = f"{moving} of {len(pairs)} tasks move to {both.target.name} by their verdicts"
    act: dict[str, object] = {
        "reason": decided.reason or said,
        "from": both.source.digest,
        "to": both.target.digest,
        "encoder": both.target.spec,
        "move": options.move,
        "loss": options.loss,
    }
    found = work.reach(
        lambda: both.here.ledger.conclude_all(
            pairs, act=act, actor=both.here.actor, fence=work.lease
        )
    )
    return replace(decided, contests={each.task: each for each in found})


def _hold_with(
    both: _Both, options: MigrateOptions, judged: Sequence[Judged], rows: Sequence[MovedTask]
) -> str:
    """The encoder for new contests from now on: the other one once most tasks read it."""
    there = sum(each.settled for each in judged) + sum(row.moved for row in rows)
    stayed = sum(
        not row.moved and (row.contest is not None or row.standing == "failed") for row in rows
    )
    if options.tasks is not None or options.move == "none" or there <= stayed:
        return both.here.configuration.encoder
    text = _text(both, encoder=both.target.spec)
    write_whole(both.here.root / FILE, text.encode())
    both.here.ledger.record_configuration(parse_configuration(text, FILE), both.here.actor)
    return both.target.spec


def _check_on_fast(both: _Both, work: Work, contests: Sequence[Contest]) -> None:
    """Make the check of the fast variant for what moved; a server starts the sooner."""
    for done, contest in enumerate(contests):
        share = _JUDGED + (1.0 - _JUDGED) * done / len(contests)
        work.tell(f"{contest.task}: checking int8", share)
        check_released(both.there, contest)


def _text(both: _Both, encoder: str | None = None) -> str:
    """The text of ``milepost.toml`` with where both encoders lie.

    Raises:
        InputError: If the file writes a field in a way that is not understood.
    """
    text = (both.here.root / FILE).read_text(encoding="utf-8-sig")
    known = dict(places(parse_configuration(text, FILE)))
    known |= {each.digest: each.spec for each in (both.source, both.target)}
    if encoder is None:
        return with_places(text, encoders=known)
    return with_places(text, encoder=encoder, encoders=known)


def _now(both: _Both, held_with: str) -> Context:
    """The workspace as ``milepost.toml`` says it now."""
    text = (both.here.root / FILE).read_text(encoding="utf-8-sig")
    context = both.there if held_with == both.target.spec else both.here
    return replace(context, configuration=parse_configuration(text, FILE))
