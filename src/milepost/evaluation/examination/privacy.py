"""Privacy of the model: can its answers tell which examples it was trained on?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.examination import Case, Privacy
from milepost.evaluation.examination.subject import Refitting, Subject
from milepost.metrics.auditing.membership import (
    Attack,
    area_estimate,
    likelihood_ratios,
    logit_confidence,
    rate_estimate,
    roc_area,
)
from milepost.metrics.scoring.deciding import answer_name, decided

MOST_ROWS = 2_000
"""Training examples attacked; more are left out at random, whole groups at a time."""

FEWEST_GROUPS = 100
"""Different messages below which nothing is said: the threshold that one of a hundred strangers
passes is found from the strangers, and with fewer the rate is off upwards."""

MOST_SHADOWS, FEWEST_SHADOWS = 16, 6
WORK = 1_000_000
"""Rows times labels that all shadows together may be fitted to; it bounds the time by counts."""

FALSE_POSITIVE_RATE = 0.01
MOST_CASES = 5
CASE_CHARS = 300


def privacy(subject: Subject) -> tuple[Privacy | None, tuple[str, ...]]:
    """Attack the candidate's strategy as somebody would who can train it on the same kind of data.

    Shadows are fitted to random halves of the training examples; each in turn is the target and
    the others tell what a row's confidence looks like with and without it (Carlini et al. 2022).
    Near-duplicates are in a half together or not at all. The attacker is strong: it knows the
    strategy, the texts and labels in question and sees calibrated probabilities. What is attacked
    are predictors fitted to half of the rows, which lean more on each than the released one does.

    Returns:
        What was found, ``None`` where it cannot be had; and why, for the notes.
    """
    refit = subject.refit
    if refit is None:
        return None, (
            "Privacy was not attacked: that takes fits to other rows, which for this candidate "
            "would be asking language models, or fitting others, once more for each.",
        )
    rows, groups = _attacked(subject)
    units = int(groups.max(initial=-1)) + 1
    if units < FEWEST_GROUPS:
        return None, (f"Privacy needs {FEWEST_GROUPS} different messages; there are {units}.",)
    shadows = int(np.clip(WORK // (len(rows) * len(subject.labels)), FEWEST_SHADOWS, MOST_SHADOWS))
    y, seed = subject.train_y[rows], subject.sampling.seed
    texts = [subject.train.texts[i] for i in rows.tolist()]
    members = draw_members(groups, shadows, seed)
    try:
        confidences = shadow_confidences(lambda inside: refit(rows[inside]), texts, y, members)
    except ValueError as error:
        # A half may lack what the strategy needs, such as a second label.
        return None, (f"Privacy was not measured: half of the examples did not do ({error}).",)
    attack = likelihood_ratios(confidences, members)
    confidence = subject.sampling.confidence
    found = rate_estimate(attack.scores, members, groups, FALSE_POSITIVE_RATE, confidence)
    area = area_estimate(roc_area(attack.scores, members), units, confidence)
    measured = Privacy(
        tpr_at_1_fpr=found,
        auroc=area,
        members=len(rows),
        shadows=shadows,
        method=(
            f"likelihood-ratio attack (Carlini et al. 2022) on {shadows} predictors, each fitted "
            f"to a random half of {len(rows):,} training examples"
        ),
        cases=_cases(subject, rows, attack) if found.at_least > FALSE_POSITIVE_RATE else (),
    )
    return measured, ()


def draw_members(groups: NDArray[np.int64], shadows: int, seed: int) -> NDArray[np.bool_]:
    """Who is trained on by whom: ``(shadows, n)``, each group by each with probability one half.

    Args:
        groups: ``(n,) int64`` from 0, together in a half or not at all.
        shadows: Predictors to fit.
        seed: Makes the draw.
    """
    drawn = np.random.default_rng(seed).random((shadows, int(groups.max()) + 1)) < 0.5
    return drawn[:, groups]


def shadow_confidences(
    refit: Refitting,
    texts: Sequence[str],
    y: NDArray[np.int64],
    members: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Logit confidences ``(s, n)`` in the given labels, of a predictor per row of ``members``.

    Args:
        refit: Fits to the examples at some positions of ``texts``.
        texts: The ``n`` examples attacked.
        y: ``(n,) int64`` their labels.
        members: ``(s, n)`` whom each predictor is fitted to.
    """
    return np.stack(
        [logit_confidence(refit(np.flatnonzero(inside))(texts), y) for inside in members]
    )


def _attacked(subject: Subject) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows ``(m,)``, ascending, and the group of each, numbered from 0."""
    _, groups = np.unique(np.asarray(subject.train.groups), return_inverse=True)
    if len(groups) > MOST_ROWS:
        rank = np.random.default_rng(subject.sampling.seed).permutation(int(groups.max()) + 1)
        order = np.argsort(rank[groups], kind="stable")
        sizes = np.cumsum(np.bincount(rank[groups]))
        rows = np.sort(order[: int(sizes[sizes <= MOST_ROWS].max(initial=0))])
    else:
        rows = np.arange(len(groups))
    return rows, np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)


def _cases(subject: Subject, rows: NDArray[np.int64], attack: Attack) -> tuple[Case, ...]:
    """The rows whose confidence rises most when they are trained on."""
    worst = np.argsort(-attack.effect, kind="stable")[:MOST_CASES]
    answers = decided(subject.out_of_fold)
    return tuple(
        Case(
            id=subject.train.ids[row],
            text=subject.train.texts[row][:CASE_CHARS],
            actual=subject.train.labels[row],
            answer=answer_name(subject.labels, int(answers[row])),
            confidence=float(subject.out_of_fold[row].max()),
        )
        for row in rows[worst].tolist()
    )
