"""Groups of people: how each fares, how far apart they are, and what swapping them changes."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from milepost.entities.errors import UpstreamError
from milepost.entities.examination import AttributeScore, Check, GroupFinding, GroupScore
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.identity.attributes import Attribute, attributes
from milepost.evaluation.identity.checks import checks
from milepost.evaluation.identity.findings import group_findings
from milepost.evaluation.identity.rates import RATES, Rated, rated
from milepost.evaluation.identity.swaps import Swapped, swap
from milepost.evaluation.measuring import by_answers

MOST_LABELS = 10
"""Labels that are looked at in turn where the rule names none, the most frequent ones."""

_About = tuple[int | None, Sequence[str]]


def fairness(
    subject: Subject,
) -> tuple[tuple[AttributeScore, ...], tuple[Check, ...], tuple[str, ...]]:
    """Scores of every attribute that the task names, checks for the gate, and notes.

    Where the rule names a label there is one score an attribute; otherwise one for the metric and
    one for each label. Rates of groups have exact intervals; those of gaps hold together over all
    attributes, labels and criteria; findings are corrected over all groups and rates.
    """
    rule = subject.task.fairness
    if isinstance(rule, msgspec.UnsetType):
        return (), (), ()
    found = attributes(rule, subject.examples)
    labels, notes = _labels(subject, rule.label)
    measured = [rated(subject, each, *about) for each in found for about in labels]
    questions = max(sum(each.questions() for each in measured), 1)
    findings = group_findings(subject, measured)
    swapped = {each.name: _swapped(subject, each, notes) for each in found if each.terms}
    scores = tuple(
        _score(subject, each, questions, findings.get(at, ()), swapped)
        for at, each in enumerate(measured)
    )
    notes += [note for each in found for note in _notes(each, swapped.get(each.name))]
    metric = subject.task.objective.metric
    if by_answers(metric) != metric:
        notes.append(f"Groups are compared by accuracy, not {metric}.")
    return scores, checks(rule, scores), tuple(notes)


def _labels(subject: Subject, named: str | None) -> tuple[list[_About], list[str]]:
    """Which rates are measured about which label; ``None`` stands for the metric alone."""
    k = len(subject.labels)
    if named is not None:
        return [(subject.labels.index(named), RATES)], []
    counts = np.bincount(subject.y[subject.y >= 0], minlength=k)
    frequent = sorted(np.argsort(-counts, kind="stable")[:MOST_LABELS].tolist())
    notes: list[str] = []
    if k > MOST_LABELS:
        notes.append(
            f"Rates by group are shown for the {MOST_LABELS} most frequent of {k} labels; name one "
            "as fairness.label to see it."
        )
    return [(None, RATES[:1]), *((label, RATES[1:]) for label in frequent)], notes


def _score(
    subject: Subject,
    found: Rated,
    questions: int,
    findings: tuple[GroupFinding, ...],
    swapped: Mapping[str, Swapped | None],
) -> AttributeScore:
    confidence = subject.sampling.confidence
    groups = found.scores(confidence)
    label = None if found.label is None else subject.labels[found.label]
    score = AttributeScore(
        attribute=found.attribute.name,
        label=label,
        metric=by_answers(subject.task.objective.metric),
        groups=groups,
        gaps=found.gaps(confidence, questions),
        findings=findings,
    )
    swaps = swapped.get(found.attribute.name)
    if swaps is None:
        return score
    if found.label is not None:
        groups = _swapped_in(subject, groups, swaps, found.label)
    return msgspec.structs.replace(
        score,
        groups=groups,
        swaps=len(swaps.row),
        flips=swaps.flips(subject),
        cases=swaps.cases(subject),
    )


def _swapped(subject: Subject, attribute: Attribute, notes: list[str]) -> Swapped | None:
    """The swaps of an attribute's terms; a note where they would cost more than there is."""
    try:
        return swap(subject, attribute)
    except UpstreamError as error:
        notes.append(f"Terms of `{attribute.name}` were not swapped: {error.what}")
        return None


def _swapped_in(
    subject: Subject, groups: Sequence[GroupScore], swaps: Swapped, label: int
) -> tuple[GroupScore, ...]:
    return tuple(
        msgspec.structs.replace(group, swapped_in=swaps.swapped_in(subject, group.name, label))
        for group in groups
    )


def _notes(attribute: Attribute, swaps: Swapped | None) -> list[str]:
    notes: list[str] = []
    if attribute.left_out:
        notes.append(
            f"{attribute.left_out} further values of `{attribute.name}` are not looked at as "
            "groups: others are larger."
        )
    if not attribute.groups and not attribute.terms:
        notes.append(f"The judged examples have no column `{attribute.name}`.")
    if swaps is not None and swaps.read < swaps.held:
        notes.append(
            f"Terms of `{attribute.name}` were swapped in {swaps.read:,} of the {swaps.held:,} "
            "examples that hold one (more with the setting examine_chars)."
        )
    return notes
