"""Tasks move to another encoder by their verdicts: one by one, all or none, or not at all."""

import asyncio
import csv
import shutil
from dataclasses import replace

import pytest

from milepost._base.settings import Settings
from milepost.entities.configuration import Configuration
from milepost.entities.errors import EncoderError, InputError, MilepostError, UnknownNameError
from milepost.entities.serving import Ask
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.testing.encoders import HashedEncoder
from milepost.testing.releases import always, release
from milepost.testing.trunks import HashedTrunk
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.asking import answer_texts
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.encoders import Encoders, Opened
from milepost.workflows.migrating import migrate as migrating
from milepost.workflows.migrating.migrate import migrate
from milepost.workflows.migrating.options import MigrateOptions, encoder_spec
from milepost.workflows.opening import create, open_context
from milepost.workflows.release.channels import rollback
from milepost.workflows.release.reproduce import reproduce
from milepost.workflows.serving.opening import ServeOptions, open_service

KINDS = {
    "embedded": HashedEncoder(),
    "wide": HashedEncoder(dimensions=96, seed=1),
    "blind": HashedEncoder(dimensions=2, seed=2),
    "frail": HashedEncoder(dimensions=96, seed=3),
    "short": HashedEncoder(dimensions=96, seed=4),
}
BREAKS = "thunder"
TEXTS = ("ripe apples of kilo", "a hammer from lima")


class Frail(HashedTrunk):
    """A trunk that breaks on texts with a certain word, or on long ones."""

    def forward(self, tokens, **more):
        limit = 100 if self.encoder is KINDS["short"] else len(tokens) * self.max_tokens
        texts = ["".join(map(chr, row)) for row in tokens]
        if any(len(text) > limit or BREAKS in text for text in texts):
            raise EncoderError("it broke.")
        return super().forward(tokens, **more)


def fake(spec):
    """An encoder without a model, as the workspace opens one."""
    kind = Frail if spec in {"frail", "short"} else HashedTrunk
    trunks = {v: kind(encoder=KINDS[spec], variant=v) for v in ("fp32", "int8")}
    bare = OnnxEncoder(trunks["fp32"])
    return Opened(
        encoder=lambda: bare, bare_encoder=lambda: bare, trunk=trunks.get, weights=lambda: None
    )


def on(wired, spec="embedded"):
    """The workspace as it is opened with these encoders."""
    encoders = Encoders(wired.root / "milepost.toml", wired.configuration, fake)
    return replace(wired, encoders=encoders).on(encoders.open(spec))


@pytest.fixture(scope="module")
def made(tmp_path_factory, rows):
    """A folder with two tasks over the same examples, each with a release; made once."""
    quick = Settings(examine_chars=0, latency_samples=5, bootstrap=200)
    root = tmp_path_factory.mktemp("made") / "desk"
    context = on(create(root, Configuration(settings=quick)))
    with (root / "data/things.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "text", "label"), *rows])
    for name in ("first", "second"):
        (root / f"tasks/{name}.yaml").write_text(
            f"name: {name}\nlabels: {{fruit: '', tool: ''}}\n"
            "data: {examples: data/things.csv, id: id}\n"
        )
        done = improve(context, name, Options(strategies=("head_closed_form",)))
        assert done.contest.release == 1, done.contest.decision.reasons
    context.ledger.close()
    return root


@pytest.fixture
def two(made, tmp_path):
    """A copy of that workspace, opened."""
    shutil.copytree(made, tmp_path / "desk")
    return on(open_context(tmp_path / "desk"))


def told(context):
    return open_context(context.root).configuration


def asked(**more):
    return MigrateOptions(**{"encoder": "wide", "loss": 0.6, **more})


def test_tasks_that_lose_no_more_than_is_accepted_move_and_others_can_go_back(two):
    found, now = migrate(two, asked())
    assert [(row.task, row.standing, row.moved) for row in found.tasks] == [
        ("first", "as_good", True),
        ("second", "as_good", True),
    ]
    assert [two.ledger.channel(row.task).release for row in found.tasks] == [2, 2]
    assert (found.held_with, told(two).encoder) == ("wide", "wide")
    assert told(two).encoders == {KINDS[spec].digest: spec for spec in ("embedded", "wide")}
    assert now.encoder().digest == KINDS["wide"].digest
    (act,) = two.ledger.audit(action="encoder.migrated")
    assert {name: each["release"] for name, each in act.details["tasks"].items()} == {
        "first": 2,
        "second": 2,
    }
    # Two encoders at once: a release is answered on its own one.
    rollback(now, "second", "to see")
    for context in (two, now, on(open_context(two.root), "wide")):
        for task in ("first", "second"):
            answered = answer_texts(context, task, TEXTS, Which())
            assert answered.predictions.answers == ("fruit", "tool")
    assert {row.standing for row in migrate(now, asked())[0].tasks} == {"settled", "as_good"}


def test_the_release_that_came_of_it_can_be_recomputed(two):
    _, now = migrate(two, asked(tasks=["first"]))
    found = reproduce(now, "first", 2)
    assert found.holds, found.unequal
    assert found.numbers > 50
    assert reproduce(now, "first", 1).holds


def test_a_server_answers_on_both_encoders_and_finds_one_that_came_later(two):
    service = open_service(two, ServeOptions(reload_every=0.02, threads=1, record=False))

    async def ask(task, release=None):
        given = await service.answer(Ask(task=task, texts=TEXTS, release=release))
        return given.release, [each.label for each in given.predictions]

    async def story():
        try:
            assert await ask("first") == (1, ["fruit", "tool"])
            await asyncio.to_thread(migrate, two, asked(tasks=["first"]))
            for _ in range(400):
                if (await ask("first"))[0] == 2:
                    break
                await asyncio.sleep(0.02)
            assert await ask("first") == (2, ["fruit", "tool"])
            assert await ask("second") == (1, ["fruit", "tool"])
            assert await ask("first", release=1) == (1, ["fruit", "tool"])
            assert service.encoder().dimensions == KINDS["embedded"].dimensions
            assert not service.problems()
        finally:
            await service.close(1.0)

    asyncio.run(story())


def test_a_task_that_would_lose_stays_on_its_encoder(two):
    found, now = migrate(two, asked(encoder="blind", loss=0.02))
    assert not found.moved
    assert len(found.stayed) == 2
    assert {row.standing for row in found.tasks} <= {"worse", "not_shown", "misses"}
    assert two.ledger.channel("first").release == 1
    assert (found.held_with, told(two).encoder) == ("embedded", "embedded")
    assert now.encoder().digest == KINDS["embedded"].digest


def test_nothing_moves_where_only_the_verdicts_were_asked_for(two):
    found, _ = migrate(two, asked(move="none"))
    assert [row.standing for row in found.tasks] == ["as_good", "as_good"]
    assert not found.moved
    assert two.ledger.releases("first")[0].number == 1
    assert found.reason.startswith("Nothing moves")
    contest = two.ledger.contest(found.tasks[0].contest)
    assert contest.decision.verdict == "kept"
    # The evidence comes first, and what was asked for last.
    assert found.tasks[0].reason == contest.decision.reasons[0]
    assert "below release 1" in found.tasks[0].reason
    assert contest.decision.reasons[-1] == found.reason
    assert told(two).encoder == "embedded"


def test_a_strategy_that_cannot_be_refitted_is_not_judged_and_takes_no_look(two):
    path = two.root / "tasks/second.yaml"
    path.write_text(path.read_text().replace("things.csv", "others.csv"))
    others = (two.root / "data/things.csv").read_text() + f"odd,{BREAKS} of kilo,fruit\n"
    (two.root / "data/others.csv").write_text(others)
    found, _ = migrate(two, asked(encoder="frail"))
    assert [(row.standing, row.moved) for row in found.tasks] == [
        ("as_good", True),
        ("failed", False),
    ]
    failed = found.tasks[1]
    assert "`head_closed_form` was not fitted" in failed.reason
    assert "broke" in failed.reason
    assert (failed.before, failed.contest, failed.against) == (1, None, None)
    assert [len(two.ledger.looks(name)) for name in ("first", "second")] == [2, 1]
    assert found.stayed == (failed,)
    # Together, what could not be judged holds the others up; the encoder stays that of before.
    rollback(two, "first", "to see")
    found, _ = migrate(two, asked(encoder="frail", move="all"))
    assert not found.moved
    assert found.reason == "second could not be judged, so that none moves."
    assert found.held_with == "embedded"


def test_an_encoder_that_fails_on_long_texts_is_refused_before_anything_is_recorded(two):
    jobs = len(two.ledger.jobs())
    with pytest.raises(EncoderError, match="broke"):
        migrate(two, asked(encoder="short"))
    assert len(two.ledger.jobs()) == jobs
    assert len(two.ledger.looks("first")) == 1


def test_all_move_together_by_what_they_lose_on_average(two):
    found, _ = migrate(two, asked(move="all"))
    assert len(found.moved) == 2
    # Both judge the same messages, so that their errors may be one and the same.
    assert (found.together.tasks, found.together.units) == (2, 1)
    assert found.together.low <= found.together.difference
    assert "a loss of 0.6 is accepted" in found.reason


def test_none_moves_where_one_misses_what_it_demands(two):
    path = two.root / "tasks/second.yaml"
    path.write_text(path.read_text() + "objective: {metric: accuracy, max_p95_ms: 0.0000001}\n")
    found, _ = migrate(two, asked(move="all"))
    assert not found.moved
    assert found.reason.startswith("`second` would miss")
    assert [row.standing for row in found.tasks] == ["as_good", "misses"]


def test_what_has_no_release_or_reads_text_is_a_row_with_the_reason(two):
    (two.root / "tasks/third.yaml").write_text(
        "name: third\nlabels: {fruit: '', tool: ''}\ndata: {examples: data/things.csv, id: id}\n"
    )
    release(two, "second", always(("fruit", "tool"), "tool"))
    found, _ = migrate(two, asked(tasks=["second", "third"]))
    assert [(row.standing, row.reason) for row in found.tasks] == [
        ("not_judged", "Release 2 (by_hand) reads text, and no encoder."),
        ("not_judged", "Nothing is in production."),
    ]
    assert found.together is None


def test_a_migration_goes_on_where_it_was_interrupted(two):
    def stop(task, what, share):
        if what.startswith("second"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(replace(two, on_event=stop), asked())
    assert two.ledger.channel("first").release == 1
    looks = [len(two.ledger.looks(name)) for name in ("first", "second")]
    assert looks == [2, 1]
    found, _ = migrate(two, asked())
    assert len(found.moved) == 2
    assert [len(two.ledger.looks(name)) for name in ("first", "second")] == [2, 2]


def test_what_was_written_before_the_process_ended_is_not_written_again(two, monkeypatch):
    ended = KeyboardInterrupt()

    def held_with(*given):
        raise ended

    with monkeypatch.context() as patch:
        patch.setattr(migrating, "_hold_with", held_with)
        with pytest.raises(KeyboardInterrupt):
            migrate(two, asked(move="all"))
    assert two.ledger.channel("first").release == 2
    assert told(two).encoder == "embedded"
    found, _ = migrate(two, asked(move="all"))
    assert len(found.moved) == 2
    assert "is accepted" in found.reason
    assert two.ledger.channel("first").version == 2
    assert told(two).encoder == "wide"
    assert len(two.ledger.audit(action="encoder.migrated")) == 1


def test_a_task_that_somebody_moved_meanwhile_stays(two):
    improved = improve(two, "second", Options(strategies=("head_closed_form",), seed=7)).contest
    moved = []

    def meanwhile(task, what, share):
        if what == "moving" and not moved:
            moved.append(two.ledger.channel("second"))
            two.ledger.make_release(
                improved.chosen.id, expected_version=1, reason="by hand", actor="somebody"
            )

    found, _ = migrate(replace(two, on_event=meanwhile), asked())
    assert moved
    assert [(row.task, row.moved) for row in found.tasks] == [("first", True), ("second", False)]
    assert found.tasks[1].reason.startswith("Production was moved")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"move": "some"}, UnknownNameError),
        ({"loss": 1.5}, InputError),
        ({"loss": float("nan")}, InputError),
        ({"tasks": ["firts"]}, UnknownNameError),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_done(two, options, error):
    with pytest.raises(error):
        migrate(two, asked(**options))
    assert not [job for job in two.ledger.jobs(("running", "failed")) if job.kind == "migrate"]


def test_an_encoder_that_is_not_there_is_refused(tmp_path):
    wired = create(tmp_path / "desk", Configuration())
    (wired.root / "tasks/t.yaml").write_text("name: t\nlabels: {a: '', b: ''}\n")
    for spec, what in (("./nowhere", "no such encoder folder"), ("nowhere", "encoder")):
        with pytest.raises(MilepostError, match=what):
            migrate(wired, MigrateOptions(encoder=spec))


def test_a_file_that_cannot_be_changed_is_found_before_any_work(two):
    path = two.root / "milepost.toml"
    path.write_text(path.read_text() + f"\n[encoders]\n{'a' * 64} = 'x'\n")
    with pytest.raises(InputError):
        migrate(two, asked())
    assert two.ledger.channel("first").release == 1


def test_a_folder_is_named_so_that_the_workspace_finds_it(tmp_path, monkeypatch):
    root = tmp_path / "desk"
    (root / "models/a").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert encoder_spec(root, "models/a") == "models/a"
    assert encoder_spec(root, "desk/models/a") == "models/a"
    assert encoder_spec(root, "b") == str(tmp_path / "b")
    assert encoder_spec(root, "org/name") == "org/name"
