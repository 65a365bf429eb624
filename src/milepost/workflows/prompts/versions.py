"""Versions of a task's prompt: listed with what came of them, kept, found by name, pointed at."""

from pathlib import Path

from milepost._base.digest import digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.prompts import (
    PromptAlias,
    PromptResult,
    PromptState,
    PromptTemplate,
    PromptVersion,
)
from milepost.entities.task import Task
from milepost.workflows.context import Context
from milepost.workflows.prompts.files import prompt_toml, read_prompt
from milepost.workflows.prompts.using import BUILT_IN, PRODUCTION, built_in, check_prompt
from milepost.workflows.tasks.current import current_task

CONTESTS = 100
"""Newest contests that are searched for what came of a prompt."""

_LONGEST_ALIAS = 63


def prompts(context: Context, name: str) -> tuple[PromptState, ...]:
    """Versions of a task's prompt, oldest first, with aliases and results.

    Raises:
        UnknownNameError: If there is no such task.
    """
    task = current_task(context, name)
    results = _results(context, task)
    aliases: dict[int, list[str]] = {}
    for alias in context.ledger.prompt_aliases(name):
        aliases.setdefault(alias.number, []).append(alias.alias)
    return tuple(
        PromptState(
            version=version,
            aliases=tuple(aliases.get(version.number, ())),
            results=tuple(results.get(version.digest, ())),
        )
        for version in context.ledger.prompts(name)
    )


def prompt(context: Context, name: str, which: str | None) -> PromptState | PromptTemplate:
    """One prompt of a task, with aliases and results where it is a version.

    Args:
        context: The workspace.
        name: Name of the task.
        which: A number, an alias, or ``built-in``; ``None`` for what contests start from.

    Raises:
        UnknownNameError: If there is no such task, version or alias.
    """
    task = current_task(context, name)
    if which is None:
        which = PRODUCTION if context.ledger.prompt_alias(name, PRODUCTION) else BUILT_IN
    if which == BUILT_IN:
        return built_in(task)
    version = version_named(context, name, which)
    return next(state for state in prompts(context, name) if state.version == version)


def template_named(context: Context, name: str, which: str) -> PromptTemplate:
    """The template of a version, an alias, or ``built-in``.

    Raises:
        UnknownNameError: If there is no such task, version or alias.
    """
    task = current_task(context, name)
    if which == BUILT_IN:
        return built_in(task)
    return version_named(context, name, which).template


def prompt_as_toml(context: Context, name: str, which: str | None) -> str:
    """A prompt as a file that can be kept again; see ``prompt`` for what can be named.

    Raises:
        UnknownNameError: If there is no such task, version or alias.
    """
    found = prompt(context, name, which)
    return prompt_toml(found if isinstance(found, PromptTemplate) else found.version.template)


def version_named(context: Context, name: str, which: str) -> PromptVersion:
    """A version by its number or by an alias.

    Raises:
        UnknownNameError: If there is none.
    """
    if which.isascii() and which.isdigit() and len(which) < 10:
        return context.ledger.prompt(name, int(which))
    alias = context.ledger.prompt_alias(name, which)
    if alias is None:
        numbers = [str(version.number) for version in context.ledger.prompts(name)]
        known = [each.alias for each in context.ledger.prompt_aliases(name)]
        raise UnknownNameError("prompt", which, [*known, *numbers, BUILT_IN])
    return context.ledger.prompt(name, alias.number)


def add_prompt(
    context: Context, name: str, file: Path, *, parent: str | None = None, note: str = ""
) -> PromptVersion:
    """Keep the prompt of a file as a version, once it is known to work for the task.

    Raises:
        UnknownNameError: If there is no such task or parent.
        InputError: If the file or what it holds cannot be used.
    """
    task = current_task(context, name)
    template = read_prompt(file)
    check_prompt(task, template, where=file.name)
    context.record_configuration()
    number = None if parent is None else version_named(context, name, parent).number
    return context.ledger.add_prompt(name, template, parent=number, note=note, actor=context.actor)


def promote(
    context: Context, name: str, which: str, *, alias: str = PRODUCTION, reason: str
) -> PromptAlias:
    """Point an alias at a version; contests start from ``production``.

    Raises:
        UnknownNameError: If there is no such task or version.
        InputError: If it points there already, the alias is none, or the task cannot use the
            prompt any more.
        ConflictError: If somebody moved the alias meanwhile.
    """
    task = current_task(context, name)
    _check_alias(alias)
    version = version_named(context, name, which)
    check_prompt(task, version.template, where=f"prompt {version.number} of {name}")
    context.record_configuration()
    before = context.ledger.prompt_alias(name, alias)
    return context.ledger.move_prompt_alias(
        name,
        alias,
        version.number,
        expected_version=before.version if before else 0,
        reason=reason,
        actor=context.actor,
    )


def _check_alias(alias: str) -> None:
    plain = alias.replace("-", "a").replace("_", "a")
    starts = alias[:1].isascii() and alias[:1].isalpha() and alias[:1].islower()
    fits = plain.isascii() and plain.isalnum() and plain == plain.lower()
    if not (starts and fits and len(alias) <= _LONGEST_ALIAS) or alias == BUILT_IN:
        raise InputError(
            f"{alias!r} cannot be an alias.",
            where="--alias",
            advice="Use small letters, digits, - and _, such as production or trial.",
        )


def _results(context: Context, task: Task) -> dict[Digest, list[PromptResult]]:
    """What came of each prompt, by digest, the newest contest first."""
    found: dict[Digest, list[PromptResult]] = {}
    for contest in context.ledger.contests(task.name, CONTESTS):
        for candidate in contest.candidates:
            digests = prompt_digests(candidate)
            result = _result(contest, candidate, alone=len(digests) == 1) if digests else None
            for digest in digests if result is not None else ():
                found.setdefault(digest, []).append(result)  # pyright: ignore[reportArgumentType]
    return found


def prompt_digests(candidate: Candidate) -> tuple[Digest, ...]:
    """Digests of the prompts that a candidate asks; none for most."""
    listed = candidate.parameters.get("prompts")
    if not isinstance(listed, list | tuple):
        return ()
    return tuple(Digest(str(each)) for each in listed)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def digest_of_prompt(template: PromptTemplate) -> Digest:
    """As versions and candidates have it."""
    return Digest(digest_of(template))


def _result(contest: Contest, candidate: Candidate, *, alone: bool) -> PromptResult | None:
    card = candidate.scorecard
    if card is None or card.latency is None or card.metric not in card.metrics:
        return None
    return PromptResult(
        contest=contest.id,
        candidate=candidate.id,
        strategy=candidate.strategy,
        upstream=str(candidate.parameters.get("upstream", "")),
        metric=card.metric,
        score=card.metrics[card.metric],
        cost_per_1k_usd=card.latency.cost_per_1k_usd,
        release=contest.release if candidate.chosen else None,
        alone=alone,
    )
