"""The table of strategies, cheap ones first, and the plug-ins that other packages offer."""

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import msgspec

from milepost.entities.errors import InputError, UnknownNameError
from milepost.strategies.cascading.cascade import Cascade
from milepost.strategies.ensemble import Ensemble
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.head_logistic import HeadLogistic
from milepost.strategies.head_ordinal import HeadOrdinal
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategies.head_trees import HeadTrees
from milepost.strategies.majority import Majority
from milepost.strategies.multitask import Multitask
from milepost.strategies.neighbours import Neighbours
from milepost.strategies.prompting.prompt_ensemble import PromptEnsemble
from milepost.strategies.prompting.prompt_search import PromptSearch
from milepost.strategies.prompting.prompted import Prompted
from milepost.strategies.prompting.prompted_examples import PromptedExamples
from milepost.strategies.ranking.bm25 import Bm25
from milepost.strategies.ranking.cosine import Cosine
from milepost.strategies.ranking.head_rank import HeadRank
from milepost.strategies.student import Student
from milepost.strategies.student_encoder import StudentEncoder
from milepost.strategies.tagging.gazetteer import Gazetteer
from milepost.strategies.tagging.taggers import Tagger, TaggerWords
from milepost.strategies.tfidf_linear import TfidfLinear
from milepost.strategies.tuned_encoder import TunedEncoder
from milepost.strategies.zero_shot import ZeroShot
from milepost.strategy import Strategy

ENTRY_POINTS = "milepost.strategies"
"""Entry-point group: each one names a strategy class; the entry's name is not used."""

STRATEGIES: dict[str, type[Any]] = {
    strategy.name: strategy
    for strategy in (
        Majority,
        TfidfLinear,
        ZeroShot,
        HeadClosedForm,
        Neighbours,
        HeadLogistic,
        HeadRidge,
        HeadOrdinal,
        Gazetteer,
        TaggerWords,
        Tagger,
        HeadTrees,
        Bm25,
        Cosine,
        HeadRank,
        TunedEncoder,
        Multitask,
        Prompted,
        PromptedExamples,
        PromptEnsemble,
        PromptSearch,
        Ensemble,
        Student,
        StudentEncoder,
        Cascade,
    )
}
"""Class of each strategy by name, in the order in which a contest runs them."""


TRUSTED = (
    "multitask",
    "tuned_encoder",
    "head_closed_form",
    "head_ordinal",
    "head_ridge",
    "head_logistic",
    "head_trees",
    "head_rank",
    "cosine",
    "bm25",
    "tagger",
    "tagger_words",
    "gazetteer",
    "neighbours",
    "tfidf_linear",
    "zero_shot",
)
"""Whom to believe before there is evidence: the order of what taking always the same strategy would
cost on public sets (``bench/regret.py``). Of what tunes the encoder, which enters where time is
given, ``bench/multitask.py`` says it: on 27 tasks of 32 to 750 examples always ``multitask`` was
0.8 points below the best of each task, ``tuned_encoder`` 1.3, ``head_closed_form`` 5.0, and on a
second draw of examples, which had no part in this order, 0.8, 1.3 and 4.9."""

_UNKNOWN = TRUSTED.index("head_closed_form")
"""Rank of what nothing is known of."""


def trust_of(names: Sequence[str]) -> tuple[int, ...]:
    """Rank of each by ``TRUSTED``, 0 first.

    Those that ask language models come last: where nothing shows them to be better, what is owned
    and answers for nothing is kept; before them what asks for some inputs only. A plug-in, of
    which nothing is known, has that of ``head_closed_form``.
    """
    return tuple(_trust(name) for name in names)


def _trust(name: str) -> int:
    # The entry of a further upstream has that one's name behind its own.
    kind = STRATEGIES.get(name.partition("-")[0])
    if hasattr(kind, "combine"):
        return len(TRUSTED)
    if getattr(kind, "asks", False):
        return len(TRUSTED) + 1
    return TRUSTED.index(name) if name in TRUSTED else _UNKNOWN


def strategy_named(
    name: str,
    parameters: Mapping[str, object] | None = None,
    *,
    table: Mapping[str, type[Any]] | None = None,
) -> Strategy:
    """A strategy with its parameters.

    Args:
        name: Its name.
        parameters: Those that differ from the defaults.
        table: Where to look; ``None`` for the strategies of milepost itself.

    Raises:
        UnknownNameError: If there is no such strategy, or no such parameter.
        InputError: If a parameter has the wrong type or is out of range.
    """
    known = STRATEGIES if table is None else table
    if name not in known:
        raise UnknownNameError("strategy", name, known)
    kind = known[name]
    allowed = [field.name for field in dataclasses.fields(kind)]
    for parameter in parameters or {}:
        if parameter not in allowed:
            raise UnknownNameError("parameter", parameter, allowed, where=f"strategy {name}")
    try:
        # conversion checks the types and calls the constructor, which checks the ranges
        return msgspec.convert(dict(parameters or {}), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(
            f"{error}.", where=f"strategy {name}", advice="Change or remove the parameter."
        ) from error


def with_plugins() -> dict[str, type[Any]]:
    """``STRATEGIES`` followed by those that installed packages offer; they are imported now.

    Raises:
        InputError: If a plug-in cannot be imported, is no strategy, or takes a name in use.
    """
    table = dict(STRATEGIES)
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        where = f"plug-in {entry.value}"
        try:
            kind = entry.load()
        except Exception as error:
            raise InputError(
                f"it cannot be loaded ({error}).", where=where, advice="Repair or uninstall it."
            ) from error
        name = getattr(kind, "name", None)
        if not (
            isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(name, str)
        ):
            raise InputError(
                "it is not a dataclass with a name.",
                where=where,
                advice="A strategy follows milepost.strategy.Strategy.",
            )
        if name in table:
            raise InputError(
                f"the name {name!r} is in use.", where=where, advice="Uninstall one of the two."
            )
        table[name] = kind
    return table
