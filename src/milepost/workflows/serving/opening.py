"""Opens a workspace for serving: loads, verifies and warms what answers, and follows changes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import UnknownNameError
from milepost.entities.serving import PassingRule
from milepost.models.export import Variant
from milepost.serving.engine.engine import CACHE_BYTES, QUEUE_TEXTS, Engine
from milepost.serving.engine.observing import Observer
from milepost.serving.language import Languages
from milepost.serving.parts import Parts
from milepost.serving.routing.router import Router
from milepost.serving.service import Service
from milepost.workflows.context import Context
from milepost.workflows.language.banks import SimilarBanks
from milepost.workflows.language.opening import open_languages
from milepost.workflows.serving.feedback import feedback_of
from milepost.workflows.serving.loading import Loader
from milepost.workflows.serving.planning import pinned_route
from milepost.workflows.serving.recording import open_recorder, open_sink
from milepost.workflows.serving.searching import Searching
from milepost.workflows.serving.vectors import EncoderVectors
from milepost.workflows.serving.watching import Following, Watcher

_FLUSH_SECONDS = 5.0
"""What the records of the last answers get to be written, however little grace is left."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ServeOptions:
    """How a workspace is served.

    Attributes:
        reload_every: Seconds between two looks at the ledger and the task files, > 0.
        on_keys: Called from another thread whenever a key was made or revoked.
        variant: Variant of the encoder that all tasks serve on; ``None`` takes the fast one for
            each release whose fidelity was checked, else the reference.
        threads: Callers of the encoder; ``None`` takes the processors of this process.
        queue_texts: Most texts that wait; more are refused.
        cache_bytes: Bytes of the cache of answers; 0 for none.
        record: Whether traces are kept.
        observer: Told about each batch; ``None`` for nobody.
        watch: Gives the language models that are asked for those of the workspace, such as the
            same ones, counted.
    """

    reload_every: float = 0.5
    on_keys: Callable[[], None] = lambda: None
    variant: Variant | None = None
    threads: int | None = None
    queue_texts: int = QUEUE_TEXTS
    cache_bytes: int = CACHE_BYTES
    record: bool = True
    observer: Observer | None = None
    watch: Callable[[Languages], Languages] = lambda languages: languages


def open_service(context: Context, options: ServeOptions | None = None) -> Service:
    """A service that answers with what is in production, ready when this returns.

    What cannot be loaded is left out, logged and told by :meth:`Service.state`. May be called
    before there is an event loop; the service then lives on the first one that uses it.

    Raises:
        StorageError: If the ledger cannot be read.
    """
    chosen = options or ServeOptions()
    engine = Engine(
        threads=chosen.threads,
        queue_texts=chosen.queue_texts,
        cache=chosen.cache_bytes,
        observer=chosen.observer,
    )
    try:
        rule = _passing(context)
        loader = Loader(context, engine, chosen.variant)
        banks = _banks(context, engine, loader)
        languages = chosen.watch(open_languages(context, banks))

        def changed() -> None:
            languages.refresh()
            banks.refresh()

        router = Router(partial(pinned_route, loader))
        following = Following(
            every=chosen.reload_every, on_keys=chosen.on_keys, on_upstreams=changed
        )
        watcher = Watcher(context, loader, router, following)
        watcher.load()
        banks.refresh()
    except BaseException:
        engine.close()
        raise
    recorder = open_recorder(context) if chosen.record else None
    sink = recorder.sink if recorder is not None else open_sink(context)
    watcher.start()

    async def end(seconds: float) -> None:
        """Most in a thread, for they wait; records last, for they hold what was answered."""
        await asyncio.to_thread(watcher.stop, seconds)
        await languages.close()
        await asyncio.to_thread(engine.close, seconds)
        if recorder is not None:
            await asyncio.to_thread(recorder.close, max(seconds, _FLUSH_SECONDS))

    return Service(
        Parts(
            router=router,
            engine=engine,
            vectors=EncoderVectors(engine, loader.trunks, context.preparation(())),
            feedback=feedback_of(context, sink, recorder.hurry)
            if recorder is not None
            else feedback_of(context, sink),
            recorder=recorder,
            languages=languages,
            candidates=Searching(context, engine, loader).find,
            passing=rule,
            loading=watcher.loading,
            closing=(end,),
            clock=context.clock,
            images=context.images,
        )
    )


def _banks(context: Context, engine: Engine, loader: Loader) -> SimilarBanks:
    """Answers to similar questions, by the reference encoder: what certified them was, too."""

    async def embed(text: str, deadline: float | None) -> NDArray[np.float32]:
        vectors, _, _ = await engine.embed([text], loader.reference(), deadline)
        return vectors[0]

    return SimilarBanks(context, lambda: loader.reference()[0], embed)


def _passing(context: Context) -> PassingRule:
    """What holds for clients that ask language models themselves.

    Raises:
        UnknownNameError: If a guard is no task of the workspace.
    """
    rule = context.configuration.passing
    if not isinstance(rule, PassingRule):
        return PassingRule()
    known = context.ledger.tasks()
    for guard in (*rule.guards, *rule.answer_guards):
        if guard.task not in known:
            where = "milepost.toml: passing"
            raise UnknownNameError("task", guard.task, sorted(known), where=where)
    return rule
