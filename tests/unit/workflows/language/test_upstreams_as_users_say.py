"""What users say of money and language models: read exactly, or refused with what would do."""

import pytest

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.upstream import Capabilities, Endpoint, Upstream
from milepost.testing.upstreams import serving
from milepost.workflows.language.checking import check
from milepost.workflows.language.spending import set_budget, spent
from milepost.workflows.serving.keys import NewKey, create_key


@pytest.mark.parametrize("amount", ["0.1", " $0.10", 0.1])
def test_an_amount_is_text_or_a_number(context, amount):
    assert set_budget(context, "workspace", amount, reason="a test").micro_usd == 100_000


@pytest.mark.parametrize("amount", ["1,5", "", -1, float("nan"), True, 1e-7])
def test_what_is_no_amount_is_refused(context, amount):
    with pytest.raises(InputError, match="no amount of USD"):
        set_budget(context, "workspace", amount, reason="a test")


def test_unknown_periods_and_groups_name_the_known_ones(context):
    with pytest.raises(UnknownNameError, match="month"):
        set_budget(context, "workspace", 1, period="weak", reason="a test")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownNameError, match="upstream"):
        spent(context, by="upstreams")  # pyright: ignore[reportArgumentType]


def test_a_period_without_a_budget_is_refused(context):
    with pytest.raises(InputError, match="--budget-usd"):
        create_key(context, NewKey(per="day"), "a test")
    key, _ = create_key(context, NewKey(budget_usd=5, per="day"), "a test")
    (budget,) = context.ledger.budgets()
    assert (budget.scope, budget.micro_usd, budget.period) == (f"key:{key.id}", 5_000_000, "day")


def test_what_a_model_could_not_do_is_tried_again(context):
    with serving() as server:
        row = Upstream(
            name="big",
            model="tiny",
            endpoints=(Endpoint(base_url=server.base_url, private=True),),
            capabilities=Capabilities(schema=False, vision=False),
        )
        context.ledger.add_upstream(row, reason="a test", actor="somebody")
        assert check(context, "big").kept == 2
        assert check(context, "big").kept is None
    known = context.ledger.upstream("big").capabilities
    assert (known.schema, known.vision, known.tools) == (True, False, True)
