"""Modules that are imported when something of them is first used."""

from importlib import import_module


class Later:
    """Stands for a module until a name of it is asked for. Thread safe, as imports are.

    Starting a command should cost what that command needs, not what all others need too.

    Args:
        name: Full name of the module.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        """What the module has under that name."""
        return getattr(import_module(self._name), attribute)
