"""Opens language models: the layers of each, one around the other, as the registry says.

``Metered(Similar(FallingBack(Cached(Resilient(Billed(endpoint), …)), …)))``: a call is booked once,
whatever answers it; each attempt is reserved and billed by itself, whichever upstream it goes to.
``Similar`` is there for servers alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

from milepost.entities.errors import UnknownNameError
from milepost.entities.money import scopes
from milepost.entities.task import Task
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import LanguageModel, Speaker, Terms
from milepost.models.language.blocking import Asker, Watch
from milepost.models.language.caching.exact import Cached
from milepost.models.language.caching.semantic import Similar
from milepost.models.language.caching.stores import LedgerAnswers, MemoryAnswers, NearAnswers
from milepost.models.language.metering import Billed, Metered
from milepost.models.language.opening import open_endpoint
from milepost.models.language.resilience.fallback import FallingBack
from milepost.models.language.resilience.resilient import Resilient
from milepost.models.language.secrets import Secrets
from milepost.models.language.transport.connections import Connections
from milepost.workflows.context import Context
from milepost.workflows.language.banks import SimilarBanks
from milepost.workflows.language.meter import LedgerMeter

Rows = tuple[Upstream, ...]
"""An upstream, and those that it falls back on: what its layers were made from."""


@dataclass(frozen=True, slots=True)
class _Made:
    """Layers, and what they were made from."""

    rows: Rows
    model: LanguageModel


class OpenLanguages:
    """The language models of a workspace by name; see ``milepost.serving.language.Languages``.

    Used on one event loop, which may begin after it was made; ``refresh`` by any thread.

    Args:
        context: The workspace.
        meter: Keeps the books.
        banks: Answers to similar questions; ``None`` where each question is to be asked.
    """

    def __init__(
        self, context: Context, meter: LedgerMeter, banks: SimilarBanks | None = None
    ) -> None:
        self._context, self._meter, self._banks = context, meter, banks
        self._connections, self._secrets = Connections(), Secrets()
        self._answers = NearAnswers(MemoryAnswers(), LedgerAnswers(context.ledger))
        self._rows: dict[str, Rows] = {}
        self._whole: dict[str, _Made] = {}
        self._inner: dict[str, tuple[Upstream, Cached]] = {}
        self.refresh()

    def names(self) -> Sequence[str]:
        """All that are registered, in the order of the alphabet."""
        return tuple(self._rows)

    def get(self, name: str) -> LanguageModel:
        """One of them with all its layers, which are made at the first call.

        Raises:
            UnknownNameError: If there is none of this name.
            InputError: If an address of a ``fake`` or ``recorded`` one cannot be read.
        """
        rows = self._rows.get(name)
        if rows is None:
            raise UnknownNameError("upstream", name, self._rows)
        made = self._whole.get(name)
        if made is None or made.rows is not rows:
            made = self._whole[name] = _Made(rows, self._make(rows))
        return made.model

    def cached(self, name: str) -> Cached:
        """The part of one that remembers answers.

        Raises:
            UnknownNameError: If there is none of this name.
        """
        self.get(name)
        return self._inner[name][1]

    def refresh(self) -> None:
        """Read the registry again. Calls on their way end as they began.

        Raises:
            StorageError: If the ledger cannot be read.
        """
        found = {row.name: row for row in self._context.ledger.upstreams()}
        rows: dict[str, Rows] = {}
        for name, upstream in found.items():
            others = (found[each] for each in upstream.fallback if each in found)
            new, old = (upstream, *others), self._rows.get(name)
            rows[name] = old if old is not None and old == new else new
        self._rows = rows

    async def let_go(self) -> None:
        """End all calls, and close all connections; the books stay open."""
        for _, model in self._inner.values():
            await model.close()
        await self._connections.close()
        await self._answers.settled()

    async def close(self) -> None:
        """End all calls, close all connections, and book what was spent."""
        await self.let_go()
        await asyncio.to_thread(self._meter.close)

    def _make(self, rows: Rows) -> LanguageModel:
        models = [self._remembering(row) for row in rows]
        whole: LanguageModel = models[0]
        if len(models) > 1:
            whole = FallingBack(models[0], models[1:])
        if self._banks is not None:
            whole = Similar(whole, self._banks)
        return Metered(whole, self._meter, self._context.clock)

    def _remembering(self, upstream: Upstream) -> Cached:
        """The layers that an upstream has for itself, be it asked first or as a fallback."""
        held = self._inner.get(upstream.name)
        if held is not None and held[0] == upstream:
            return held[1]
        endpoints = [
            Billed(
                open_endpoint(
                    upstream,
                    endpoint,
                    connections=self._connections,
                    secrets=self._secrets,
                    root=self._context.root,
                )
            )
            for endpoint in upstream.endpoints
        ]
        made = Cached(Resilient(upstream, endpoints), self._answers)
        self._inner[upstream.name] = (upstream, made)
        return made


def open_languages(context: Context, banks: SimilarBanks | None = None) -> OpenLanguages:
    """All language models of a workspace, for one event loop; its ``close`` books what was spent.

    Raises:
        StorageError: If the ledger cannot be read.
    """
    return OpenLanguages(context, LedgerMeter(context.ledger), banks)


class _Alone:
    """A model that lets go of everything under it when it is closed. One event loop."""

    def __init__(self, languages: OpenLanguages, name: str) -> None:
        self._languages = languages
        self._model = languages.get(name)
        self.upstream = self._model.upstream
        self.complete, self.stream = self._model.complete, self._model.stream
        self.embed = self._model.embed

    async def close(self) -> None:
        """Let go of connections; the books stay open for others."""
        await self._languages.let_go()


class Speakers(dict[str, Speaker]):
    """Speakers by the name of their upstream, in the order of preference. Any thread may use them.

    Closing it closes them all, and books what was spent; so does the end of the process.
    """

    def __init__(
        self, context: Context, names: Sequence[str], terms: Terms, watch: Watch | None = None
    ) -> None:
        super().__init__()
        self._meter = LedgerMeter(context.ledger)
        self._askers: list[Asker] = []
        for name in names:
            # Each has an event loop of its own, and so connections of its own.
            languages = OpenLanguages(context, self._meter)
            alone = _Alone(languages, name)
            counted = scopes(upstream=name, task=terms.task, key=terms.key, job=terms.job)
            asker = Asker(
                alone,
                terms,
                left=lambda counted=counted: self._left(counted),
                known=languages.cached(name).holds,
                watch=watch,
            )
            self[name] = asker
            self._askers.append(asker)

    def settled(self) -> None:
        """Wait until all that was spent until now is in the ledger."""
        self._meter.flush()

    def close(self) -> None:
        """End all calls, and book what was spent. May be repeated."""
        for asker in self._askers:
            asker.close()
        self._meter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _left(self, counted: tuple[str, ...]) -> int | None:
        self._meter.refresh()
        return self._meter.left(counted)


def speakers(
    context: Context, task: Task | None, terms: Terms, watch: Watch | None = None
) -> Speakers:
    """Language models for code that waits: those of a task, else all that are registered.

    Args:
        context: The workspace.
        task: Whose; ``None`` for all.
        terms: Under what every call is made.
        watch: Told how each ``ask`` gets on; ``None`` for nobody.

    Raises:
        UnknownNameError: If the task names an upstream that is not registered.
        StorageError: If the ledger cannot be read.
    """
    known = [row.name for row in context.ledger.upstreams()]
    rule = None if task is None else task.language
    wanted = () if rule is None or isinstance(rule, msgspec.UnsetType) else rule.upstreams
    for name in wanted:
        if name not in known:
            raise UnknownNameError("upstream", name, known, where="language.upstreams")
    return Speakers(context, wanted or known, terms, watch)
