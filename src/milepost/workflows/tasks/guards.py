"""Where guards lead: from a task to what guards it, and to what answers instead of it."""

from collections.abc import Callable

from milepost.entities.task import Task


def guard_cycle(find: Callable[[str], Task | None], name: str) -> list[str]:
    """The way from a task over guards, and tasks that answer instead, back to itself.

    Args:
        find: Gives a task by its name; ``None`` for one that cannot be read, which leads nowhere.
        name: Where to begin.

    Returns:
        Names from ``name`` to ``name``; empty where there is no such way.
    """
    came: dict[str, str] = {}
    waiting = [name]
    while waiting:
        here = waiting.pop()
        task = find(here)
        for rule in task.guard_rules if task is not None else ():
            for there in (rule.task, rule.to):
                if there == name:
                    way = [name, here]
                    while way[-1] != name:
                        way.append(came[way[-1]])
                    return way[::-1]
                if there is not None and there not in came:
                    came[there] = here
                    waiting.append(there)
    return []
