import pytest

from milepost._base.limits import Limits
from milepost._base.settings import Settings
from milepost.entities.configuration import (
    Configuration,
    dump_configuration,
    parse_configuration,
)
from milepost.entities.errors import TaskFileError, WorkspaceError
from milepost.entities.serving import Guard, PassingRule, RecordingRule


def test_the_promised_defaults():
    assert Settings() == Settings(
        cpu_usd_per_hour=0.04,
        folds=5,
        confidence=0.95,
        bootstrap=2000,
        holdout_share=0.2,
        holdout_min=400,
        holdout_min_per_label=30,
        near_duplicate=0.8,
        max_text_chars=20_000,
        max_tokens=None,
        serve_variant="int8",
        latency_samples=50,
    )


def test_the_promised_limits_of_a_server():
    limits = Limits()
    assert (limits.body_bytes, limits.inputs, limits.header_bytes) == (8 * 2**20, 1024, 32 * 1024)
    assert (limits.timeout, limits.idle_seconds, limits.lame_duck, limits.grace) == (60, 75, 5, 30)
    assert limits.asking == 1024
    guard = Guard(task="tone", labels=("rude",), action="block")
    rule = PassingRule(guards=(guard,), recording=RecordingRule(inputs="hashed", strict=True))
    limited = Configuration(limits=Limits(inputs=7), passing=rule)
    assert parse_configuration(dump_configuration(limited), "m.toml") == limited
    assert "[limits]" not in dump_configuration(Configuration())
    with pytest.raises(TaskFileError, match="Did you mean 'inputs'"):
        parse_configuration("[limits]\ninput = 3\n", "milepost.toml")


def test_what_is_written_is_read_back():
    changed = Configuration(
        encoder="models/mine", ledger="postgresql://h/db", settings=Settings(folds=7, max_tokens=64)
    )
    for configuration in (Configuration(), changed):
        assert parse_configuration(dump_configuration(configuration), "m.toml") == configuration


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(TaskFileError, match="Did you mean 'folds'"):
        parse_configuration("[settings]\nfold = 3\n", "milepost.toml")


def test_a_wrong_type_names_the_line():
    with pytest.raises(TaskFileError) as caught:
        parse_configuration('format = 1\n[settings]\nfolds = "many"\n', "milepost.toml")
    assert caught.value.problems[0].line == 3


def test_a_newer_workspace_is_refused_with_advice():
    with pytest.raises(WorkspaceError, match="Upgrade milepost"):
        parse_configuration("format = 99\nfuture = true\n", "milepost.toml")


@pytest.mark.parametrize(
    "line",
    ["folds = 1", "confidence = 1.0", "holdout_share = 0", "bootstrap = 10", "near_duplicate = 0"],
)
def test_a_setting_out_of_range_is_refused(line):
    with pytest.raises(TaskFileError):
        parse_configuration(f"[settings]\n{line}\n", "milepost.toml")
