from milepost.strategies.registry import STRATEGIES, TRUSTED, trust_of


def test_every_strategy_but_the_floor_has_its_place_in_the_order_of_trust():
    assert set(TRUSTED) == set(STRATEGIES) - {"majority"}
    assert trust_of(TRUSTED) == tuple(range(len(TRUSTED)))


def test_a_plugin_of_which_nothing_is_known_stands_beside_the_first():
    assert trust_of(("zero_shot", "from_elsewhere")) == (len(TRUSTED) - 1, 0)
