"""The examination: every section asked about one subject, each on its own."""

from milepost.entities.errors import UpstreamError
from milepost.entities.examination import ChangeScore, Check, Examination
from milepost.evaluation.examination.behaviour import Examinee, Found, run_tests
from milepost.evaluation.examination.discovery import discover
from milepost.evaluation.examination.fairness import fairness
from milepost.evaluation.examination.knowing import knowing
from milepost.evaluation.examination.privacy import privacy
from milepost.evaluation.examination.robustness import robustness
from milepost.evaluation.examination.subject import Subject

BRIEFLY = "Examined briefly: weak slices, robustness and privacy were left out."
"""The note of an examination that found only what the gate and the release need."""


IMAGES = "Weak slices and robustness are found by words, and an input is an image."
"""The note of an examination of a task that reads images."""


def examine(subject: Subject, *, brief: bool = False) -> Examination:
    """What all sections found about a candidate, with the checks that the gate reads.

    Args:
        subject: The candidate.
        brief: Whether to leave out the sections that no check and no promise rests on.
    """
    checks: list[Check] = []
    changes, about = ((), (BRIEFLY,)) if brief else _robustness(subject)
    shown = bool(subject.task.images)
    notes = list(about)
    behaviour = _behaviour(subject)
    checks += behaviour.checks
    notes += behaviour.notes
    groups, group_checks, about_groups = fairness(subject)
    checks += group_checks
    notes += about_groups
    known, known_checks = knowing(subject)
    checks += known_checks
    told, about_privacy = (None, ()) if brief else privacy(subject)
    notes += about_privacy
    return Examination(
        discovery=None if brief or shown else discover(subject),
        fairness=groups,
        robustness=changes,
        behaviour=behaviour.scores,
        knowing=known,
        privacy=told,
        checks=tuple(checks),
        notes=tuple(notes),
    )


def _robustness(subject: Subject) -> tuple[tuple[ChangeScore, ...], tuple[str, ...]]:
    """Left out where asking about the changed inputs would cost more than there is."""
    if subject.task.images:
        return (), (IMAGES,)
    try:
        return robustness(subject)
    except UpstreamError as error:
        return (), (f"Robustness was not measured: {error.what}",)


def _behaviour(subject: Subject) -> Found:
    """Declared tests that cannot be paid for stay open."""
    tested = _tested(subject)
    try:
        return run_tests(tested)
    except UpstreamError as error:
        checks = tuple(
            Check(
                name=f"behaviour {test.name}",
                outcome="open",
                sentence=f"The test `{test.name}` was not run: {error.what}",
            )
            for test in tested.tests
        )
        return Found((), checks, ())


def _tested(subject: Subject) -> Examinee:
    return Examinee(
        task=subject.task,
        labels=subject.labels,
        inputs=subject.examples,
        predict=subject.predict,
        cases=subject.cases,
        trained=subject.train.texts,
        chars=subject.chars,
        sampling=subject.sampling,
    )
