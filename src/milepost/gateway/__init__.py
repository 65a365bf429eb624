"""The HTTP and gRPC face: protocols, access, limits. No decision about an answer is made here."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milepost.gateway.application import app

__all__ = ["app"]


def __getattr__(name: str) -> object:
    # The process that watches over the workers imports this package and needs no application.
    if name == "app":
        from milepost.gateway.application import app

        return app
    raise AttributeError(f"module 'milepost.gateway' has no attribute {name!r}")
