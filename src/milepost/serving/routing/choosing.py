"""Who gets the canary: the same subject always the same, and nobody is taken back out of it."""

import random
from hashlib import blake2b

from milepost.entities.serving import Ask
from milepost.serving.routing.plan import Plan, Route

_SCALE = 2.0**-53


def position(task: str, release: int, subject: str) -> float:
    """Where a subject stands on the line from 0 to 1, evenly and for good.

    It is in a canary whose share is above that, so that a share that grows only adds subjects.
    Another release deals them anew: it is not the same people who try everything first.

    Args:
        task: Name of the task.
        release: Number of the release in the canary.
        subject: Who or what is answered.
    """
    digest = blake2b(f"{task}\0{release}\0{subject}".encode("utf-8", "replace"), digest_size=8)
    # As many bits as a float holds, so that it stays below 1.
    return (int.from_bytes(digest.digest(), "big") >> 11) * _SCALE


def choose(plan: Plan, ask: Ask) -> Route:
    """Canary or production, with or without the shadow, for a request that names no release.

    Without a subject the canary is drawn by lot for each request.
    """
    canary = plan.canary
    if canary is not None:
        where = (
            random.random()  # noqa: S311 - nobody gains by guessing it
            if ask.subject is None
            else position(ask.task, canary.answering.release, ask.subject)
        )
        if where < plan.share:
            return canary
    if plan.shadowed is not None and (
        plan.shadow_share >= 1.0 or random.random() < plan.shadow_share  # noqa: S311
    ):
        return plan.shadowed
    return plan.production
