"""The table of a migration: every task's verdict, what moved, why the others stay."""

from milepost.entities.decision import Comparison
from milepost.entities.estimate import Estimate
from milepost.entities.ids import ContestId, Digest
from milepost.entities.migration import EncoderNamed, Migration, MovedTask, Together
from milepost.reports.migration import migration_table


def encoder(spec):
    return EncoderNamed(spec=spec, name=spec, digest=Digest(spec[0] * 64), dimensions=8)


def estimate(value):
    return Estimate(
        value=value, low=value, high=value, n=90, method="x", at_least=value, at_most=value
    )


def row(task, standing, *, moved, difference=0.0, waits=0):
    against = Comparison(
        metric="accuracy",
        against="release 1",
        difference=difference,
        low=difference - 0.1,
        high=difference + 0.1,
        p_value=1.0,
        p_worse=1.0,
        n=90,
        method="exact McNemar",
    )
    return MovedTask(
        task=task,
        standing=standing,
        moved=moved,
        reason=f"because of {task}",
        before=1,
        release=2 if moved else None,
        waits_for=waits,
        contest=ContestId("c" * 13),
        metric="accuracy",
        was=estimate(0.8),
        now=estimate(0.8 + difference),
        against=against,
    )


def migration(*rows, move="each", held="old", **more):
    return Migration(
        source=encoder("old"),
        target=encoder("new"),
        move=move,
        loss=0.02,
        tasks=rows,
        held_with=held,
        seconds=3.0,
        **more,
    )


def test_it_says_what_moved_and_why_the_rest_stays():
    alone = MovedTask(task="text", standing="not_judged", moved=False, reason="It reads text.")
    rows = (
        row("good", "as_good", moved=True, difference=0.012),
        row("bad", "worse", moved=False, difference=-0.2),
        row("later", "better", moved=True, waits=1),
    )
    mean = Together(difference=-0.0627, low=-0.1, confidence=0.95, tasks=3, units=2)
    shown = migration_table(migration(*rows, alone, held="new", together=mean)).plain(110)
    shown = " ".join(shown.split())
    assert "2 of 3 judged tasks moved to new. 1 release waits for approval." in shown
    assert "bad: because of bad" in shown
    assert "text: It reads text." in shown
    assert "good: because" not in shown
    assert "1 → 2 waits" in shown
    assert "-0.0627 over 3 tasks" in shown
    assert "2 groups of them share no judged message" in shown
    assert "New contests are held with new" in shown


def test_what_was_decided_together_is_told_once():
    shown = migration_table(
        migration(
            row("a", "not_shown", moved=False),
            move="all",
            reason="None moves.",
            together=Together(difference=0.0, low=-0.5, confidence=0.95, tasks=2, units=2),
        )
    ).plain(110)
    assert shown.count("None moves.") == 1
    assert "because of a" not in shown
    assert "held with old as before" in shown


def test_nothing_to_judge_is_said():
    assert "nothing to judge" in migration_table(migration()).plain()


def test_the_evidence_is_told_where_only_the_verdicts_were_asked_for():
    shown = migration_table(
        migration(
            row("a", "as_good", moved=False),
            row("b", "no_use", moved=False),
            move="none",
            reason="Nothing moves.",
        )
    ).plain(110)
    assert shown.count("Nothing moves.") == 1
    assert "a: because of a" in shown
    assert "b: because of b" in shown
    assert "not above majority" in shown
    assert "misses a demand" not in shown


def test_what_failed_is_told_apart_from_what_there_was_nothing_to_judge_of():
    failed = MovedTask(task="sick", standing="failed", moved=False, reason="It broke.", before=1)
    alone = migration_table(migration(failed)).plain(110)
    assert "1 task could not be judged." in alone
    assert "nothing to judge" not in alone
    found = migration(row("a", "as_good", moved=True), failed, move="all", reason="All or none.")
    shown = " ".join(migration_table(found).plain(110).split())
    assert "1 of 1 judged task moved to new. 1 task could not be judged." in shown
    assert "sick: It broke." in shown
    assert found.stayed == (failed,)
