"""What learning and forgetting print: what changed, what it is worth, and what is left."""

from milepost.entities.ids import Digest
from milepost.entities.learning import (
    ErasedFile,
    ErasedSnapshot,
    Forgotten,
    HeadUpdate,
    Learned,
    TopLabel,
)
from milepost.reports.learning import forgotten_document, learned_document, updated_words

SOME = Digest("0" * 64)


def flat(document: object) -> str:
    return " ".join(str(document).split())


def test_a_label_that_is_followed_shows_both_answers() -> None:
    came = Learned(
        task="route",
        feedback="f1",
        label="refund",
        release=3,
        at_once=True,
        before=TopLabel(label="card", confidence=0.6),
        after=TopLabel(label="refund", confidence=0.87),
        learned=2,
    )
    said = flat(learned_document(came))
    assert "route answers `refund` (0.87) now, was `card` (0.60)." in said
    assert "release 3 with 2 labels learned since its contest" in said
    assert "`milepost improve route` judges" in said


def test_a_label_that_waits_says_why() -> None:
    came = Learned(
        task="route", feedback="f1", label="refund", release=3, at_once=False, why="It is odd."
    )
    said = flat(learned_document(came))
    assert "answers do not follow it yet" in said
    assert "It is odd." in said


def test_what_is_known_is_no_news() -> None:
    came = Learned(task="route", feedback=None, label="refund", release=3, at_once=True)
    assert "knows that already" in flat(learned_document(came))


def test_forgetting_says_what_is_gone_and_what_is_not() -> None:
    done = Forgotten(
        task="route",
        examples=2,
        past=1,
        dry_run=False,
        files=(ErasedFile(path="data/a.csv", rows=2, before=SOME, after=SOME),),
        snapshots=(
            ErasedSnapshot(
                digest=SOME, role="examples", rows=3, before=SOME, after=SOME, deleted=True
            ),
        ),
        feedback=1,
        vectors=4,
        releases=(1, 2),
        production="to be replaced",
        release=2,
        left=("Backups are not touched.",),
    )
    said = flat(forgotten_document(done))
    assert "2 examples and 1 of earlier data of route are forgotten." in said
    assert "data/a.csv: 2 rows" in said
    assert "1 stored snapshot: 3 rows without text" in said
    assert "Release 2, which is in production, learned from them and answers as before" in said
    assert "Releases that learned from them: 1, 2." in said
    assert "Not gone: • Backups are not touched." in said


def test_a_dry_run_says_what_would_be() -> None:
    done = Forgotten(
        task="route", examples=1, past=0, dry_run=True, production="updated", release=2
    )
    said = flat(forgotten_document(done))
    assert "1 example of route would be forgotten." in said
    assert "Release 2, which is in production, would forget them at once" in said
    assert "already" not in said


def test_answers_say_that_they_are_provisional() -> None:
    update = HeadUpdate(task="route", release=3, bundle=SOME, learned=1, forgotten=2)
    assert updated_words(update) == (
        "Release 3 with 1 label learned and 2 examples forgotten since; provisional until "
        "`milepost improve route`."
    )
