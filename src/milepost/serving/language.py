"""The opened language models as a service sees them: by name, as the registry says now."""

from collections.abc import Sequence
from typing import NoReturn, Protocol

from milepost.entities.errors import UnknownNameError
from milepost.models.language.asking import LanguageModel


class Languages(Protocol):
    """Language models by the name of their upstream, each with all its layers.

    Used on one event loop, which may begin after it was made; ``refresh`` by any thread.
    """

    def names(self) -> Sequence[str]:
        """All that are registered, in the order of the alphabet."""
        ...

    def get(self, name: str) -> LanguageModel:
        """One of them.

        Raises:
            UnknownNameError: If there is none; names the nearest.
        """
        ...

    def refresh(self) -> None:
        """The registry has changed. Calls on their way end as they began."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class NoLanguages:
    """None is registered."""

    def names(self) -> Sequence[str]:
        """None."""
        return ()

    def get(self, name: str) -> NoReturn:
        """Never finds one.

        Raises:
            UnknownNameError: Always.
        """
        raise UnknownNameError("upstream", name, ())

    def refresh(self) -> None:
        """Nothing changes."""

    async def close(self) -> None:
        """Nothing is open."""
