"""Opens endpoints: the one place that knows which class speaks which wire."""

from pathlib import Path

from milepost.entities.upstream import Endpoint, Upstream
from milepost.models.language.asking import LanguageModel
from milepost.models.language.http import HttpModel
from milepost.models.language.inside.opening import open_inside
from milepost.models.language.secrets import Secrets
from milepost.models.language.transport.connections import Connections


def open_endpoint(
    upstream: Upstream,
    endpoint: Endpoint,
    *,
    connections: Connections | None = None,
    secrets: Secrets | None = None,
    root: Path | None = None,
) -> LanguageModel:
    """A language model over one endpoint, without retries. Nothing is called or read yet.

    Args:
        upstream: Whose endpoint it is.
        endpoint: One of its endpoints.
        connections: To share among the models of an event loop; ``None`` for its own.
        secrets: To share; ``None`` for its own.
        root: Folder that paths of ``recorded`` and ``fake`` are relative to; ``None`` for the
            current one.
    """
    if upstream.wire in ("fake", "recorded"):
        return open_inside(upstream, endpoint, root)
    return HttpModel(upstream, endpoint, connections, secrets)
