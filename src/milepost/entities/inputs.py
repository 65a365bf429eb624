"""Several inputs of a task as the one text that everything else reads.

Fields of one thing, such as subject and body of a mail, are composed by a template. The two sides
of a pair keep a mark between them, by which they are told apart again.
"""

import re
from collections.abc import Mapping

import msgspec

MARK = "\u241e"
"""Stands between the sides of a pair, with a space on either side; in the sides it is a space."""

PAIR = "pair"
"""What a task writes instead of a template where its two inputs are the sides of a pair."""

VERSION = 2
"""How vectors of new pairs are made; what was released names its own version."""

_FIELD = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """How the inputs of a task become one text.

    Attributes:
        names: The inputs in the order of the task; two of a pair.
        template: Text with each input's name in braces; ``None`` for a pair.
        version: How vectors of pairs are made.
        images: Those of the names that are images; left out where none is. They stand before the
            text that the others become, and each part has a vector of its own.
    """

    names: tuple[str, ...]
    template: str | None = None
    version: int = 1
    images: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def pair(self) -> bool:
        """Whether they are the sides of a pair."""
        return self.template is None

    @property
    def pictures(self) -> tuple[str, ...]:
        """``images``, or none."""
        return () if isinstance(self.images, msgspec.UnsetType) else self.images

    @property
    def parts(self) -> int:
        """Parts that have a vector of their own and stand side by side; 1 of a pair."""
        words = len(self.names) > len(self.pictures)
        return 1 if self.template is None else len(self.pictures) + words

    def text(self, fields: Mapping[str, str]) -> str:
        """The one text of an input.

        Raises:
            KeyError: If a field is missing.
        """
        if self.template is None:
            return f" {MARK} ".join(fields[name].replace(MARK, " ").strip() for name in self.names)
        if not self.pictures:
            return _FIELD.sub(lambda found: fields[found.group(1)], self.template)
        words = _FIELD.sub(lambda found: fields[found.group(1)].replace(MARK, " "), self.template)
        shown = [fields[name] for name in self.pictures]
        return f" {MARK} ".join([*shown, words] if self.parts > len(shown) else shown)


def composition(
    names: tuple[str, ...],
    template: str | None,
    *,
    pair: bool,
    images: tuple[str, ...] = (),
) -> Composition:
    """The composition of several inputs.

    Args:
        names: The inputs.
        template: The task's own; ``None`` writes ``name: value`` in a line for each.
        pair: Whether they are the sides of a pair.
        images: Those that are images.
    """
    said = images or msgspec.UNSET
    if pair:
        return Composition(names=names, version=VERSION, images=said)
    words = [name for name in names if name not in images]
    usual = "\n".join(f"{name}: {{{name}}}" for name in words)
    if images and len(words) == 1:
        usual = f"{{{words[0]}}}"
    return Composition(names=names, template=template or usual, images=said)


def fields_of(template: str) -> tuple[str, ...]:
    """Names in braces in a template, each once."""
    return tuple(dict.fromkeys(_FIELD.findall(template)))


def sides(text: str) -> tuple[str, str]:
    """The two sides of a pair; the second is empty where there is no mark."""
    first, _, second = text.partition(MARK)
    return first.strip(), second.strip()
