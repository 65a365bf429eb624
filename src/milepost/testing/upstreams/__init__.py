"""A real HTTP server on this machine that speaks as providers of language models do, and errs.

What answers is any ``LanguageModel``, a fake where nothing else is given; what goes wrong is a
``Fault``, between the bytes of a real connection. ``python -m milepost.testing.upstreams`` runs it
as a process of its own.
"""

from milepost.testing.upstreams.formats import OpenAI, Spoken
from milepost.testing.upstreams.server import Reply, Seen, UpstreamServer, serving

__all__ = ["OpenAI", "Reply", "Seen", "Spoken", "UpstreamServer", "serving"]
