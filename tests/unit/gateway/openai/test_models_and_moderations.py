"""Names of models, and guards as moderations."""

import pytest

from milepost.entities.serving import Answer, Guard, ServedTask
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.models import TaskModel, find_model, list_models, parse_model
from milepost.gateway.openai.moderations import Judge, judges, moderation, moderation_texts
from milepost.gateway.openai.wire import ModerationsRequest, Part
from milepost.serving.asking import ServedEncoder

STRICT = Guard(task="abuse", labels=("rude", "hateful"), at_least=0.6)
LOOSE = Guard(task="abuse", labels=("rude",), at_least=0.3)


def task(name: str, *guards: Guard) -> ServedTask:
    return ServedTask(name=name, labels=("rude", "hateful", "fine"), production=1, guards=guards)


ABUSE, ROUTE, OTHER = task("abuse"), task("route", STRICT, LOOSE), task("other", STRICT)
SERVED = {each.name: each for each in (ABUSE, ROUTE, OTHER)}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("milepost/route", TaskModel("route")),
        ("milepost/route@12", TaskModel("route", 12)),
        ("gpt-4o", None),
        ("route", None),
    ],
)
def test_what_a_name_means(name, meant):
    assert parse_model(name) == meant


@pytest.mark.parametrize("release", ["", "x", "0", "-1", "1.5", "٣", "9999999999"])
def test_a_release_is_a_number(release):
    with pytest.raises(RefusedError) as refused:
        parse_model(f"milepost/route@{release}")
    assert (refused.value.status, refused.value.param) == (400, "model")


def test_tasks_and_the_encoder_are_models_and_near_names_are_told():
    encoder = ServedEncoder(name="mini", dimensions=8, max_tokens=64)
    models = list_models([ABUSE, ROUTE], encoder)
    assert [model.id for model in models.data] == ["milepost/abuse", "milepost/route", "mini"]
    assert find_model("mini", models).id == "mini"
    with pytest.raises(RefusedError, match="'milepost/route'") as refused:
        find_model("milepost/rute", models)
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def test_all_guards_of_what_the_key_may_ask_are_asked_each_once():
    (judge,) = judges(None, [ROUTE, OTHER], SERVED)
    assert judge.task is ABUSE
    assert judge.rules == (STRICT, LOOSE)
    assert judges("omni-moderation-latest", [OTHER], SERVED)[0].rules == (STRICT,)
    assert judges("milepost/abuse@4", [OTHER], SERVED)[0].release == 4


@pytest.mark.parametrize(
    ("model", "tasks", "status"),
    [
        (None, [ABUSE], 400),
        ("milepost/other", [ROUTE, OTHER], 400),
        ("milepost/nothing", [ROUTE], 404),
        ("gpt-4o", [ROUTE], 404),
        ("milepost/other", [ROUTE], 404),
    ],
)
def test_what_guards_nothing_is_no_moderation(model, tasks, status):
    with pytest.raises(RefusedError) as refused:
        judges(model, tasks, SERVED)
    assert refused.value.status == status


def answer(**shares: float) -> Answer:
    first = max(shares, key=shares.__getitem__)
    return Answer(
        label=first, confidence=shares[first], probabilities=shares, abstained=False, rung="head",
        guards={}, trace_id="t",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "flagged", "categories"),
    [
        ({"rude": 0.1, "hateful": 0.1, "fine": 0.8}, False, set()),
        ({"rude": 0.35, "hateful": 0.1, "fine": 0.55}, True, {"abuse/rude"}),
        ({"rude": 0.29, "hateful": 0.32, "fine": 0.39}, True, {"abuse/hateful"}),
        ({"rude": 0.31, "hateful": 0.62, "fine": 0.07}, True, {"abuse/rude", "abuse/hateful"}),
    ],
)
def test_a_guard_trips_by_its_labels_together(shares, flagged, categories):
    found = moderation([(Judge(ABUSE, (STRICT, LOOSE)), answer(**shares))])
    assert found.flagged is flagged
    assert {name for name, applies in found.categories.items() if applies} == categories
    scores = {name.removeprefix("abuse/"): p for name, p in found.category_scores.items()}
    assert scores == {"rude": shares["rude"], "hateful": shares["hateful"]}


def test_parts_are_texts_of_their_own_and_pictures_are_refused():
    asked = ModerationsRequest(input=["a", Part(type="text", text="b")])
    assert moderation_texts(asked) == ["a", "b"]
    with pytest.raises(RefusedError, match="image_url"):
        moderation_texts(ModerationsRequest(input=[Part(type="image_url")]))
    with pytest.raises(RefusedError):
        moderation_texts(ModerationsRequest(input=[]))
