"""What each strategy learns on problems with known answers."""

import dataclasses
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.entities.errors import EncoderError, InputError, UnknownNameError
from milepost.predictors.base import Batch
from milepost.strategies import registry
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.head_logistic import HeadLogistic
from milepost.strategies.majority import Majority
from milepost.strategies.neighbours import Neighbours
from milepost.strategies.problems import humanise, label_examples, too_few_labels
from milepost.strategies.registry import STRATEGIES, strategy_named, with_plugins
from milepost.strategies.tempered import TEMPERATURES, tempered_log_loss
from milepost.strategies.tfidf_linear import TfidfLinear
from milepost.strategies.zero_shot import ZeroShot
from milepost.strategy import Problem, kinds_of

NEEDS_TWO = ("tfidf_linear", "neighbours", "head_closed_form", "head_logistic")


class TableEncoder:
    """Looks vectors up by text; an unknown text gets one drawn from its own letters."""

    name = "table"
    digest = "0" * 64
    variant = "fp32"

    def __init__(self, table, dimensions):
        self.table = table
        self.dimensions = dimensions

    def encode(self, texts, progress=None):
        rows = np.stack([self._one(text) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def _one(self, text):
        if text in self.table:
            return self.table[text]
        seed = int.from_bytes(text.encode()[-8:].rjust(8, b"\1"), "big")
        return np.random.default_rng(seed).normal(size=self.dimensions)


def clusters(k=5, per_label=8, d=16, spread=0.35, seed=0, missing=0):
    """Gaussian clusters whose labels' names sit near the centres."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(k, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    table, y = {}, []
    for label in range(k):
        table[f"label {label}"] = centres[label] + 0.1 * generator.normal(size=d)
        for row in range(per_label if label < k - missing else 0):
            noise = spread * generator.normal(size=d)
            table[f"word{label} text {label} {row}"] = centres[label] + noise
            y.append(label)
    texts = tuple(text for text in table if text.startswith("word"))
    return Problem(
        labels=tuple(f"label_{i}" for i in range(k)),
        descriptions=("",) * k,
        instruction="",
        texts=texts,
        y=np.array(y, np.int64),
        encoder=TableEncoder(table, d),
        seed=seed,
    ), centres.astype(np.float32)


def answers(predictor, vectors):
    return predictor.predict(Batch(("",) * len(vectors), vectors)).label_ids


@pytest.mark.parametrize("name", ["zero_shot", "neighbours", "head_closed_form", "head_logistic"])
def test_it_finds_the_clusters(name):
    problem, centres = clusters()
    predictor = strategy_named(name).fit(problem)
    assert answers(predictor, centres).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["zero_shot", "head_closed_form", "head_logistic"])
def test_a_label_without_an_example_is_found_by_its_name(name):
    problem, centres = clusters(missing=1)
    assert answers(strategy_named(name).fit(problem), centres)[4] == 4


def test_tfidf_linear_learns_words():
    problem, _ = clusters()
    predictor = TfidfLinear().fit(problem)
    answer = predictor.predict(Batch(("word3 again", "WORD1!")))
    assert answer.label_ids.tolist() == [3, 1]


def test_tfidf_linear_keeps_the_most_frequent_terms():
    problem, _ = clusters()
    predictor = TfidfLinear(max_weights=5 * 10).fit(problem)
    assert len(predictor.vocabulary) == 10
    assert "text" in predictor.vocabulary


def test_majority_counts():
    problem, _ = clusters(k=2)
    uneven = problem.take(np.array([0, 1, 2, 8]))
    prior = np.exp(Majority(smoothing=1).fit(uneven).log_prior)
    np.testing.assert_allclose(prior, [4 / 6, 2 / 6])


@pytest.mark.parametrize("name", NEEDS_TWO)
def test_fewer_than_two_labels_is_a_reason(name):
    problem, _ = clusters()
    strategy = strategy_named(name)
    none, one = problem.take(np.array([], np.int64)), problem.take(np.arange(3))
    assert "no label has an example" in strategy.supports(none)
    assert "only one label" in strategy.supports(one)
    assert strategy.supports(problem) is None


def test_texts_without_words_are_a_reason():
    problem, _ = clusters(k=2, per_label=1)
    wordless = dataclasses.replace(problem, texts=("!", "? a"))
    assert "word" in TfidfLinear().supports(wordless)
    assert too_few_labels(wordless) is None


@pytest.mark.parametrize("name", ["majority", "zero_shot"])
def test_no_example_is_enough(name):
    problem, _ = clusters()
    empty = problem.take(np.array([], np.int64))
    strategy = strategy_named(name)
    assert strategy.supports(empty) is None
    assert np.isfinite(
        strategy.fit(empty).logits(Batch(("x",), np.ones((1, 16), np.float32)))
    ).all()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in STRATEGIES.items()
        if not (
            hasattr(kind, "combine") or hasattr(kind, "seconds") or getattr(kind, "asks", False)
        )
        and "classify" in kinds_of(kind)
    ],
)
def test_many_labels(name):
    problem, centres = clusters(k=5000, per_label=1, missing=1000)
    predictor = strategy_named(name, {"iterations": 2} if name == "tfidf_linear" else {}).fit(
        dataclasses.replace(problem, deadline=Deadline.after(3))
    )
    batch = Batch(("word3 text",) * 4, centres[:4])
    assert predictor.predict(batch).probabilities.shape == (4, 5000)


@pytest.mark.parametrize("folds", [2, 5])
def test_closed_form_folds_are_refits(folds):
    problem, centres = clusters(k=4, per_label=10)
    strategy = HeadClosedForm(left_out=15)
    fold = np.arange(len(problem.texts)) % folds
    for i, fast in enumerate(strategy.fit_folds(problem, fold)):
        slow = strategy.fit(problem.take(np.flatnonzero(fold != i)))
        batch = Batch(("",) * 4, centres)
        np.testing.assert_allclose(fast.logits(batch), slow.logits(batch), rtol=1e-4, atol=1e-4)


def test_closed_form_unlearns_exactly():
    problem, _ = clusters()
    strategy = HeadClosedForm(shrinkages=(1.0,))
    vectors = problem.encoder.encode(problem.texts)
    total = strategy.label_statistics(problem).add(vectors, problem.y)
    kept = np.arange(1, len(problem.y))
    smaller = problem.take(kept)
    unlearned = strategy.solve(
        problem, total.remove(vectors[:1], problem.y[:1]), vectors[kept], problem.y[kept]
    )
    np.testing.assert_allclose(unlearned.weights, strategy.fit(smaller).weights, atol=1e-4)


def test_neighbours_choose_one_pair_of_the_grid():
    problem, _ = clusters(per_label=30)
    predictor = Neighbours(queries=40).fit(problem)
    assert predictor.neighbours in Neighbours().counts
    assert predictor.bandwidth in Neighbours().bandwidths


def test_descriptions_help_where_names_say_nothing():
    table = {"about cats": [1, 0, 0], "about dogs": [0, 1, 0], "0": [0, 0, 1], "1": [0, 0, 1]}
    encoder = TableEncoder({text: np.array(row, float) for text, row in table.items()}, 3)
    problem = Problem(
        labels=("0", "1"),
        descriptions=("about cats", " about dogs "),
        instruction="",
        texts=(),
        y=np.zeros(0, np.int64),
        encoder=encoder,
    )
    assert answers(ZeroShot().fit(problem), np.eye(3, dtype=np.float32)[:2]).tolist() == [0, 1]
    bare = label_examples(dataclasses.replace(problem, descriptions=("", "")))
    assert len(bare.y) == 2


def test_weights_of_a_label_add_up_to_one():
    problem, _ = clusters(k=2)
    known = label_examples(dataclasses.replace(problem, descriptions=("first one", "")))
    assert known.y.tolist() == [0, 0, 1]
    assert known.weights.tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_arrival", "card arrival"),
        ("Refund_not_showing_up", "refund not showing up"),
        ("cardLost", "card lost"),
        ("HTTPError404", "http error404"),
        ("REFUND-REQUEST", "refund request"),
        ("alarm.query/set", "alarm query set"),
        ("reverted_card_payment?", "reverted card payment?"),
        ("Österreich", "österreich"),
        ("退款", "退款"),
        ("__", "__"),
    ],
)
def test_names_are_read_as_words(name, words):
    assert humanise(name) == words


def test_a_broken_encoder_is_named():
    class Broken(TableEncoder):
        def encode(self, texts, progress=None):
            return np.full((len(texts), 16), np.nan, np.float32)

    problem, _ = clusters()
    with pytest.raises(EncoderError, match="table"):
        HeadLogistic().fit(dataclasses.replace(problem, encoder=Broken({}, 16)))


def test_log_loss_is_taken_at_the_best_temperature():
    generator = np.random.default_rng(0)
    logits, y = generator.normal(size=(50, 4)) * 3, generator.integers(4, size=50)

    def loss(temperature):
        scaled = logits / temperature
        return np.mean(np.log(np.exp(scaled).sum(1)) - scaled[np.arange(50), y])

    expected = min((loss(t), t) for t in TEMPERATURES)
    assert tempered_log_loss(logits, y) == pytest.approx(expected, rel=1e-5)
    for true in TEMPERATURES:
        sharp = np.log(generator.dirichlet(np.ones(4), size=4000))
        drawn = np.array([generator.choice(4, p=np.exp(row)) for row in sharp])
        assert tempered_log_loss(sharp * true, drawn)[1] == true


def test_strategies_are_found_by_name():
    assert next(iter(STRATEGIES)) == "majority"
    assert strategy_named("head_logistic", {"c": 3}) == HeadLogistic(c=3.0)
    with pytest.raises(UnknownNameError, match="head_logistic"):
        strategy_named("head_logistics")
    with pytest.raises(UnknownNameError, match="'iterations'"):
        strategy_named("head_logistic", {"iteration": 3})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("majority", {"smoothing": 0}),
        ("zero_shot", {"bandwidth": -1}),
        ("tfidf_linear", {"c": 0}),
        ("neighbours", {"counts": []}),
        ("neighbours", {"bandwidths": [0.0]}),
        ("neighbours", {"smoothing": 1.0}),
        ("head_closed_form", {"shrinkages": []}),
        ("head_closed_form", {"label_weight": 0}),
        ("head_logistic", {"c": "ten"}),
        ("head_logistic", {"label_weight": -1}),
    ],
)
def test_parameters_out_of_range_are_input_errors(name, parameters):
    with pytest.raises(InputError, match=f"strategy {name}"):
        strategy_named(name, parameters)


def entry(value):
    return EntryPoint("x", value, registry.ENTRY_POINTS)


def offered(monkeypatch, *values):
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry(v) for v in values])


@dataclasses.dataclass(frozen=True)
class PluginStrategy:
    name = "from_a_plugin"


def test_plugins_follow_the_built_in_ones(monkeypatch):
    import sys
    import types

    module = types.ModuleType("milepost_test_plugin")
    module.Plugin = PluginStrategy
    module.Twice = HeadLogistic
    module.nothing = 3
    monkeypatch.setitem(sys.modules, module.__name__, module)

    assert with_plugins() == STRATEGIES
    offered(monkeypatch, "milepost_test_plugin:Plugin")
    assert list(with_plugins())[-1] == "from_a_plugin"
    assert strategy_named("from_a_plugin", table=with_plugins()) == PluginStrategy()
    for value, message in [
        ("milepost_test_plugin:Twice", "in use"),
        ("milepost_test_plugin:nothing", "not a dataclass"),
        ("milepost_test_plugin:absent", "cannot be loaded"),
        ("milepost_absent_package:X", "cannot be loaded"),
    ]:
        offered(monkeypatch, value)
        with pytest.raises(InputError, match=message):
            with_plugins()
