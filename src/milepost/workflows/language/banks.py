"""The banks of a workspace as a server holds them: those whose certificate holds now, no others."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

import numpy as np

from milepost.entities.errors import MilepostError
from milepost.entities.prompts import SimilarRule
from milepost.entities.similar import SimilarAnswers
from milepost.entities.upstream import Upstream
from milepost.models.language.caching.semantic import Bank, Vectors, model_digest
from milepost.workflows.context import Context

_log = logging.getLogger("milepost")

Embed = Callable[[str, float | None], Awaitable[Vectors]]
"""A text and a deadline to ``(d,) float32``; raises ``MilepostError`` where that cannot be had."""


class SimilarBanks:
    """Implements ``milepost.models.language.caching.semantic.Banks``.

    ``refresh`` is called by one thread at a time, all else on the event loop: what is refreshed
    replaces what was there in one assignment.

    Args:
        context: The workspace.
        encoder: Opens the reference encoder where it is not open yet; gives its digest.
        embed: Asks it.
    """

    def __init__(self, context: Context, encoder: Callable[[], str], embed: Embed) -> None:
        self._context, self._encoder, self._embed = context, encoder, embed
        self._banks: dict[str, dict[str, Bank]] = {}

    def holds(self, task: str) -> bool:
        """See ``Banks.holds``."""
        return task in self._banks

    def bank(self, task: str, frame: str) -> Bank | None:
        """See ``Banks.bank``."""
        found = self._banks.get(task, {}).get(frame)
        if found is None or found.expires is None or found.expires > self._context.clock():
            return found
        return None

    async def vector(self, text: str, deadline: float | None) -> Vectors | None:
        """See ``Banks.vector``: where the encoder cannot answer now, the model is asked."""
        try:
            return unit(await self._embed(text, deadline))
        except MilepostError:
            return None

    def refresh(self) -> None:
        """Hold what is certified now; what was certified and has lapsed is logged once.

        Raises:
            StorageError: If the ledger cannot be read.
        """
        ledger, found = self._context.ledger, dict[str, dict[str, Bank]]()
        upstreams = {each.name: each for each in ledger.upstreams()}
        for task in ledger.tasks() if upstreams else ():
            rule = ledger.task(task).task.similar_rule
            if rule is None:
                continue
            for row in ledger.similar_answers(task):
                upstream = upstreams.get(row.upstream)
                why = lapsed(row, rule, upstream, (self._encoder(), self._context.clock()))
                if why is None:
                    found.setdefault(task, {})[row.frame] = bank_of(row)
                elif task in self._banks:
                    _log.warning("%s: similar questions are asked again: %s.", task, why)
        self._banks = found


def lapsed(
    row: SimilarAnswers,
    rule: SimilarRule | None,
    upstream: Upstream | None,
    now: tuple[str, datetime],
) -> str | None:
    """Why a bank does not answer any more, in words; ``None`` where it does.

    Args:
        row: The bank.
        rule: What its task asks for now.
        upstream: As it is registered now.
        now: Digest of the workspace's encoder, and the time.
    """
    encoder, at = now
    if rule is None:
        return "the task file does not ask for it any more"
    claimed = row.certificate
    if claimed.at_most_wrong > rule.at_most_wrong or claimed.confidence < rule.confidence:
        return "the task file promises more than was certified"
    if row.expires <= at:
        return f"it was certified on {row.created:%Y-%m-%d}, and holds {rule.days:g} days"
    if upstream is None or model_digest(upstream) != row.model:
        return f"{row.upstream} is another model now, or at another address"
    if row.encoder != encoder:
        return "the workspace has another encoder now"
    return None


def bank_of(row: SimilarAnswers) -> Bank:
    """A bank as it is looked up in."""
    vectors = np.frombuffer(row.vectors, "<f2").reshape(len(row.answers), -1)
    return Bank(
        frame=row.frame,
        vectors=vectors.astype(np.float32),
        answers=row.answers,
        certificate=row.certificate,
        expires=row.expires,
    )


def unit(vectors: Vectors) -> Vectors:
    """The same with length 1 each; a vector of nothing stays nothing."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
