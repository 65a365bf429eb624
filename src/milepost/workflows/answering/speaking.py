"""The language models that a predictor asks, opened for as long as it answers."""

from collections.abc import Generator
from contextlib import contextmanager

from milepost.contests.asking import Language
from milepost.entities.errors import UnknownNameError
from milepost.entities.model_calls import Purpose
from milepost.models.language.asking import Terms
from milepost.predictors.base import Predictor
from milepost.workflows.context import Context


@contextmanager
def language_of(
    context: Context, task: str, predictor: Predictor, purpose: Purpose
) -> Generator[Language]:
    """Those that a predictor asks, under the budgets of its task; none where it asks nobody.

    Raises:
        UnknownNameError: If one of them is not registered any more.
    """
    if not predictor.upstreams:
        yield {}
        return
    from milepost.workflows.language.opening import speakers

    with speakers(context, None, Terms(purpose=purpose, task=task)) as known:
        for name in predictor.upstreams:
            if name not in known:
                raise UnknownNameError("upstream", name, known, where=f"task {task}")
        yield {name: known[name] for name in predictor.upstreams}
