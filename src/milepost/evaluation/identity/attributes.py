"""The groups that a task names, as rows of examples."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.expectations import FairnessRule

MOST_GROUPS = 60
"""Groups of one attribute that are looked at, the largest ones."""

_WHERE = "fairness"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Attribute:
    """One way to group the examples.

    Attributes:
        name: Column, or name of the identity terms.
        groups: ``(n,)`` bool by name of the group; may overlap for terms.
        terms: Forms of each term by name of the group; empty for a column.
        left_out: Groups that are not looked at because others are larger.
    """

    name: str
    groups: dict[str, NDArray[np.bool_]]
    terms: dict[str, tuple[str, ...]]
    left_out: int = 0


def attributes(rule: FairnessRule, examples: Examples) -> list[Attribute]:
    """The rule's attributes, columns first; a column that the examples lack has no groups."""
    found = [_by_column(column, examples) for column in rule.by]
    return found + [_by_terms(name, terms, examples) for name, terms in rule.terms.items()]


def forms(term: str) -> tuple[str, ...]:
    """The forms of a term as the task file writes them, ``woman|women``."""
    return tuple(form.strip() for form in term.split("|"))


def check_fairness(rule: FairnessRule, labels: Sequence[str], examples: Examples) -> None:
    """Refuse groups and labels that are not there.

    Raises:
        InputError: Saying which part of the rule, with the nearest name.
    """
    if not rule.by and not rule.terms:
        raise InputError(
            "it names no groups.",
            where=_WHERE,
            advice="Name metadata columns under by, or identity terms under terms.",
        )
    for column in rule.by:
        if column not in examples.metadata:
            raise UnknownNameError("column", column, tuple(examples.metadata), where="fairness.by")
    if rule.label is not None and rule.label not in labels:
        raise UnknownNameError("label", rule.label, labels, where="fairness.label")
    if rule.max_flips is not None and not rule.terms:
        raise InputError(
            "without terms nothing can be swapped.",
            where="fairness.max_flips",
            advice="Name identity terms under terms, or leave max_flips out.",
        )
    if rule.max_gap is None and rule.criteria != FairnessRule().criteria:
        raise InputError(
            "they say what max_gap limits, and there is none.",
            where="fairness.criteria",
            advice="Give max_gap, or leave criteria out: without a limit every gap is reported.",
        )
    for name, terms in rule.terms.items():
        _check_terms(name, terms, rule.by)


def _check_terms(name: str, terms: Sequence[str], columns: Sequence[str]) -> None:
    where = f"fairness.terms.{name}"
    split = [forms(term) for term in terms]
    every = [form.casefold() for each in split for form in each]
    what = ""
    if name in columns:
        what, advice = "a column of that name is under by.", "Give the terms another name."
    elif len(terms) < 2:
        what, advice = "it takes two terms to compare.", "Add the terms of the other groups."
    elif not all(every):
        what, advice = "a form of a term is empty.", "Write forms as woman|women."
    elif len(set(every)) < len(every):
        twice = next(form for form, times in Counter(every).items() if times > 1)
        what, advice = f"{twice!r} is there twice.", "Name every term once."
    elif len({len(each) for each in split}) > 1:
        what = "the terms have different numbers of forms."
        advice = "Give every term the same forms in the same order, as woman|women, man|men."
    else:
        return
    raise InputError(what, where=where, advice=advice)


def _by_column(column: str, examples: Examples) -> Attribute:
    values = examples.metadata.get(column, (None,) * len(examples))
    texts = np.array([None if value is None else str(value) for value in values], dtype=object)
    counts = Counter(text for text in texts.tolist() if text is not None)
    kept = sorted(name for name, _ in counts.most_common(MOST_GROUPS))
    return Attribute(
        name=column,
        groups={name: np.asarray(texts == name, np.bool_) for name in kept},
        terms={},
        left_out=len(counts) - len(kept),
    )


def _by_terms(name: str, terms: Sequence[str], examples: Examples) -> Attribute:
    split = {forms(term)[0]: forms(term) for term in terms}
    groups: dict[str, NDArray[np.bool_]] = {}
    for group, each in split.items():
        found = holds(each)
        groups[group] = np.array([found.search(text) is not None for text in examples.texts])
    return Attribute(name=name, groups=groups, terms=split)


def holds(each: Sequence[str]) -> re.Pattern[str]:
    """Matches any of some words as a whole word, in any case."""
    words = "|".join(re.escape(form) for form in sorted(each, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
