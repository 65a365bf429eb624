"""The table of all routes: the router and the OpenAPI document are made from it alone."""

from collections.abc import Callable

from milepost.gateway import native
from milepost.gateway.bulk import handlers as bulk
from milepost.gateway.errors import Refusal
from milepost.gateway.inference import http as inference
from milepost.gateway.openai import handlers as openai
from milepost.gateway.openapi.page import routes as describing
from milepost.gateway.routes import Route

_PROTOCOLS = (*native.ROUTES, *bulk.ROUTES, *openai.ROUTES, *inference.ROUTES)

ROUTES: tuple[Route, ...] = (*_PROTOCOLS, *describing(_PROTOCOLS))
"""All routes of all protocols."""


def errors_at(path: str) -> Callable[[Refusal], bytes]:
    """How errors are told at a path without a route: as the protocol that lies there does."""
    return inference.error_body if path.startswith("/v2/") else Refusal.body
