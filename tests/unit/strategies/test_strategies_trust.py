from milepost.strategies.registry import STRATEGIES, TRUSTED, trust_of


def test_every_strategy_but_the_floor_has_its_place_in_the_order_of_trust():
    asking = {name for name, kind in STRATEGIES.items() if getattr(kind, "asks", False)}
    combining = {name for name, kind in STRATEGIES.items() if hasattr(kind, "combine")}
    assert set(TRUSTED) == set(STRATEGIES) - {"majority"} - asking - combining
    assert trust_of(TRUSTED) == tuple(range(len(TRUSTED)))


def test_a_plugin_of_which_nothing_is_known_stands_beside_the_first_head():
    head, plugin = trust_of(("head_closed_form", "from_elsewhere"))
    assert head == plugin
    assert trust_of(("zero_shot",)) == (len(TRUSTED) - 1,)


def test_what_asks_a_language_model_is_trusted_least():
    ranks = trust_of(("prompted", "prompt_search-small", *TRUSTED))
    assert min(ranks[:2]) > max(ranks[2:])
