"""Which code is running."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def code_version() -> str:
    """Version of the installed milepost; ``0+source`` when it runs without being installed."""
    try:
        return version("milepost")
    except PackageNotFoundError:
        return "0+source"
