"""Following records to what they came from, over SQLite and PostgreSQL."""

from msgspec.structs import replace

from milepost.entities.example import SourceFile
from milepost.storage.ledger import Ledger
from milepost.storage.records.lineage import Found
from milepost.testing.records import TASK, some_contest, some_dataset, some_digest, task_digest


def test_every_reading_of_a_snapshot_is_kept(routed: Ledger) -> None:
    first = some_dataset("one")
    again = replace(first, sources=(SourceFile(path="b.csv", sha256=some_digest("b"), rows=4),))
    for dataset in (first, again, some_dataset("two"), some_dataset("three", role="test")):
        routed.save_dataset(dataset)
    assert routed.dataset_records(first.digest, "route", "examples") == (first, again)
    assert routed.dataset_records(first.digest, "route", "test") == ()
    assert len(routed.datasets()) == len(routed.datasets("route")) == 4
    assert routed.datasets("nothing") == ()


def test_contests_by_what_went_into_them(routed: Ledger) -> None:
    for number in (1, 2):
        routed.save_contest(some_contest(number))
    other = replace(some_contest(3), examples=some_digest("else"), code="0.2.0")
    card = other.candidates[0].scorecard
    assert card is not None
    encoded = replace(card, provenance={"encoder": some_digest("enc"), "encoder_name": "x"})
    good = replace(other.candidates[0], scorecard=encoded)
    routed.save_contest(replace(other, candidates=(good, *other.candidates[1:])))

    def told(kind, key):
        return [contest.id for contest in routed.contests_with(kind, [key])]

    first, second, third = (some_contest(number).id for number in (1, 2, 3))
    assert told("snapshot", some_digest("e")) == [first, second]
    assert told("snapshot", some_digest("h")) == [first, second, third]
    assert told("task", task_digest(TASK)) == [first, second, third]
    assert told("encoder", some_digest("enc")) == [third]
    assert told("code", "0.2.0") == [third]
    assert told("snapshot", some_digest("nothing")) == []
    assert routed.contests_with("snapshot", []) == ()


def test_releases_and_channels(routed: Ledger, released) -> None:
    assert routed.channels("route") == ()
    for number in (1, 2):
        released(routed, number, number - 1)
    routed.move_channel("route", "canary", 1, expected_version=0, reason="try it")
    assert [r.number for r in routed.releases_of(some_contest(2).id)] == [2]
    assert routed.releases_of("c000000000009") == ()
    assert [(c.name, c.release) for c in routed.channels("route")] == [
        ("canary", 1),
        ("production", 2),
    ]


def test_a_beginning_finds_what_it_belongs_to(routed: Ledger, released) -> None:
    dataset = some_dataset("one")
    routed.save_dataset(dataset)
    released(routed, 1, 0)
    contest = some_contest(1)
    winner = contest.candidates[0]
    assert routed.find(dataset.digest[:8]) == (Found("snapshot", dataset.digest, "route"),)
    assert routed.find(dataset.artifact[:8]) == (Found("snapshot", dataset.digest, "route"),)
    assert routed.find(task_digest(TASK)[:8]) == (Found("task", task_digest(TASK), "route"),)
    assert routed.find(str(winner.bundle)[:8]) == (Found("bundle", winner.id, "route"),)
    assert routed.find(str(contest.holdout)[:8]) == (Found("contest", contest.id, "route"),)
    assert routed.find(routed.release("route", 1).digest[:8]) == (Found("release", "1", "route"),)
    kinds = {found.kind for found in routed.find(contest.id)}
    assert kinds == {"contest", "candidate"}
    for nothing in ("ffffffffffff", "%", "_" * 6):
        assert routed.find(nothing) == ()
