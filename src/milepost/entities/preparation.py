"""Names of the steps that prepare an input. The functions are in ``milepost.predictors``."""

import re

from milepost.entities.errors import InputError, UnknownNameError

STEPS: dict[str, str] = {
    "collapse_space": "Every run of white space becomes one space; none is left at the ends.",
    "lower_case": "Capital letters become small ones.",
    "mask_emails": "Every e-mail address becomes the word EMAIL.",
    "mask_numbers": "Every run of digits becomes one 0.",
    "strip_accents": "Marks above, below or through a letter are taken off: é becomes e.",
    "strip_html": "Tags, comments, scripts and styles are taken out, entities become characters.",
    "strip_quotes": "Quoted lines of a mail, and the older mail below a reply, are taken off.",
    "strip_signature": "What follows the line `--` of a mail is taken off (RFC 3676, section 4.3).",
    "strip_urls": "Addresses that begin with http://, https:// or www. are taken out.",
    "unicode_nfkc": "Characters that look alike become the same (Unicode normalisation form KC).",
}
"""Every built-in step, with what it does."""

OWN = "own:"
_OWN = re.compile(
    r"own:(?P<file>[^:\n@]+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]*)(?:@(?P<sha256>[0-9a-f]{64}))?"
)
ADVICE_OWN = "Write own:FILE.py:FUNCTION, with the file relative to the workspace."


def own_parts(step: str) -> tuple[str, str, str | None]:
    """File, function and digest (``None`` in a task file) of an own step.

    Raises:
        InputError: If it is not written like one.
    """
    found = _OWN.fullmatch(step)
    if found is None:
        raise InputError(f"{step!r} does not name an own step.", advice=ADVICE_OWN)
    return found["file"], found["function"], found["sha256"]


def check_step(step: str) -> None:
    """Refuse what is no step.

    Raises:
        UnknownNameError: If there is no such built-in step; carries the nearest.
        InputError: If it begins like an own step and is not written like one.
    """
    if step.startswith(OWN):
        own_parts(step)
    elif step not in STEPS:
        raise UnknownNameError("step", step, (*STEPS, "own:FILE.py:FUNCTION"))
