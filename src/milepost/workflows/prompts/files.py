"""Prompts as files: TOML with all of a prompt, or a Jinja template of the user message alone."""

import tomllib
from pathlib import Path

import msgspec

from milepost._base.untrusted import read_plain
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.prompts import PromptTemplate

MOST_BYTES = 200_000
"""Largest file of a prompt that is read."""


def read_prompt(path: Path) -> PromptTemplate:
    """The prompt of a file; what its templates hold is not looked at.

    Raises:
        InputError: If there is no such file, or it is not a prompt.
    """
    shown = path.name
    try:
        text = read_plain(path, MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _unusable("it is not UTF-8 text.", shown) from error
    except FileNotFoundError as error:
        raise InputError(
            "there is no such file.",
            where=str(path),
            advice="A prompt is a TOML file, or a Jinja template of the user message.",
        ) from error
    except OSError as error:
        raise _unusable(f"it cannot be read ({error.strerror or error}).", shown) from error
    if path.suffix.lower() == ".toml":
        return _from_toml(text, shown)
    if not text.strip():
        raise _unusable("it is empty.", shown)
    return PromptTemplate(user=text.rstrip("\n"))


def prompt_toml(template: PromptTemplate) -> str:
    """A prompt as TOML that ``read_prompt`` reads as an equal one."""
    lines = [f'answer = "{template.answer}"', f"shots = {template.shots}"]
    lines += [f"{name} = {_toml_text(getattr(template, name))}" for name in ("system", "user")]
    return "\n".join(lines) + "\n"


def _from_toml(text: str, where: str) -> PromptTemplate:
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _unusable(f"it is not TOML ({error}).", where) from error
    allowed = PromptTemplate.__struct_fields__
    for key in content:
        if key not in allowed:
            raise UnknownNameError("field", key, allowed, where=where)
    try:
        return msgspec.convert(content, PromptTemplate)
    except msgspec.ValidationError as error:
        raise _unusable(f"{error}.", where) from error


def _toml_text(text: str) -> str:
    """A basic string; over several lines where the text has several."""
    quoted = "".join(_escaped(character) for character in text)
    if "\n" not in text:
        return f'"{quoted}"'
    body = quoted.replace("\\n", "\n")
    return f'"""\n{body}"""'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    if not character.isprintable() and character != "\t":
        return f"\\U{ord(character):08X}"
    return character


def _unusable(what: str, where: str) -> InputError:
    return InputError(
        what, where=where, advice="A prompt has the fields system, user, answer and shots."
    )
