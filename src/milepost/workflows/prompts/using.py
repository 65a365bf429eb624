"""Which prompt a task starts from, checked before anything is asked or paid."""

import msgspec

from milepost._base.own_code import own_path
from milepost.entities.errors import InputError
from milepost.entities.prompts import PromptTemplate
from milepost.entities.task import Task
from milepost.predictors.prompting.builtin import builtin_prompt
from milepost.predictors.prompting.reading import same_to_prompts
from milepost.predictors.prompting.templates import Wording, prepare
from milepost.workflows.context import Context
from milepost.workflows.prompts.files import read_prompt

PRODUCTION = "production"
"""The alias that contests start from."""

BUILT_IN = "built-in"
"""What milepost's own prompt is called where versions are named."""

_STAND_INS = ("one", "another")
"""Labels of a task that takes its own from its data, for checks of a template."""


def prompt_for(context: Context, task: Task, labels: tuple[str, ...] = ()) -> PromptTemplate | None:
    """The prompt to start from; ``None`` for the built-in one.

    The file that the task names comes first, then what the alias ``production`` points to.

    Args:
        context: The workspace.
        task: The task.
        labels: Its labels; where there are none, those of the task file.

    Raises:
        InputError: If the file or what it holds cannot be used, with what, where and the nearest
            name.
    """
    rule = task.language
    named = None if isinstance(rule, msgspec.UnsetType) else rule.prompt
    if named is not None:
        path = own_path(named, context.root)
        if path is None:
            raise InputError(
                f"{named} lies outside the workspace.",
                where=f"tasks/{task.name}.yaml: language.prompt",
                advice="Put the file into the workspace and name it relative to it.",
            )
        template = read_prompt(path)
        check_prompt(task, template, labels, named)
        return template
    alias = context.ledger.prompt_alias(task.name, PRODUCTION)
    if alias is None:
        return None
    template = context.ledger.prompt(task.name, alias.number).template
    check_prompt(task, template, labels, f"prompt {alias.number} of {task.name}")
    return template


def check_prompt(
    task: Task, template: PromptTemplate, labels: tuple[str, ...] = (), where: str = ""
) -> None:
    """Refuse a prompt that the task cannot use.

    Raises:
        InputError: With what is wrong, where, and the nearest name.
    """
    names = labels or tuple(task.labels) or _STAND_INS
    same = same_to_prompts(names)
    if same is not None:
        raise InputError(
            f"no answer can tell the labels {same[0]!r} and {same[1]!r} apart: they differ in "
            "case, spaces or marks only.",
            where=where or None,
            advice="Rename one of them.",
        )
    described = [task.labels.get(name, "") for name in names]
    wording = Wording.of(task.instruction, names, described, task.input_name)
    try:
        prepare(template, wording)
    except InputError as error:
        place = ": ".join(part for part in (where, error.where) if part)
        error.where = place or None
        raise


def built_in(task: Task) -> PromptTemplate:
    """What is asked where the task has no prompt and the endpoint tells no log-probabilities."""
    return builtin_prompt("label", input_name=task.input_name)
