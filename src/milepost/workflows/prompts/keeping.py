"""Prompts of a contest become versions, so that what was asked can be read, compared and used."""

from milepost.entities.contest import Candidate, Contest
from milepost.entities.prompts import PromptTemplate, PromptVersion
from milepost.predictors.prompting.builtin import PHRASINGS, builtin_prompt
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import load_bundle

SEARCHING = "prompt_search"
MILEPOST = "milepost"


def keep_prompts(context: Context, contest: Contest) -> tuple[PromptVersion, ...]:
    """Keep what the candidates of a contest asked; what is kept already stays as it is.

    Built-in prompts have the origin ``milepost``, those that a search found the contest's id, all
    others ``hand``. Calling it again changes nothing.

    Raises:
        StorageError: If a bundle is gone or damaged.
    """
    known = {version.digest: version for version in context.ledger.prompts(contest.task)}
    # A search may find what another candidate asked anyway: that one is no find of it.
    ordered = sorted(contest.candidates, key=lambda each: each.strategy.startswith(SEARCHING))
    kept: list[PromptVersion] = []
    for candidate in ordered:
        for template, name in _asked(context, candidate):
            searched = candidate.strategy.startswith(SEARCHING)
            version = context.ledger.add_prompt(
                contest.task,
                template,
                origin=contest.id if searched else _origin(template, name),
                note=f"found by {candidate.strategy}" if searched else f"by {candidate.strategy}",
                actor=context.actor,
            )
            if version.digest not in known:
                known[version.digest] = version
                kept.append(version)
    return tuple(kept)


def _asked(context: Context, candidate: Candidate) -> list[tuple[PromptTemplate, str]]:
    """The prompts that a candidate asks, with the name of its input."""
    if candidate.bundle is None or "prompts" not in candidate.parameters:
        return []
    predictor = load_bundle(context, candidate.bundle)[0]
    if not isinstance(predictor, PromptedPredictor):
        return []
    return [(template, predictor.input_name) for template in predictor.templates]


def _origin(template: PromptTemplate, input_name: str) -> str:
    own = (
        builtin_prompt(
            template.answer, phrasing=phrasing, shots=template.shots, input_name=input_name
        )
        for phrasing in PHRASINGS
    )
    return MILEPOST if template in own else "hand"
