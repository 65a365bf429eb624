"""Answers that are given to similar questions, and what is claimed of them."""

from datetime import datetime

import msgspec

from milepost.entities.language import Completion


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is claimed of a bank's hits, and what the claim rests on.

    Attributes:
        at_most_wrong: Largest share of hits that the model itself would have answered otherwise.
        confidence: How sure that is, over the questions that it was tried with.
        threshold: Smallest cosine similarity of a hit.
        tried: Questions that it was tried with, none of them in the bank.
        hits: Those that would have been hits at the threshold.
        wrong: Those of the hits that the model answered otherwise.
    """

    at_most_wrong: float
    confidence: float
    threshold: float
    tried: int
    hits: int
    wrong: int


class SimilarAnswers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank of one prompt of a task as the ledger keeps it. No text of a question is in it.

    Attributes:
        task: Name of the task.
        release: Release that asked.
        upstream: Name of the upstream that answered.
        model: Digest of its model, wire format and addresses.
        frame: Digest of that and of all that the requests have in common.
        encoder: Digest of the encoder that the vectors are of.
        certificate: What is claimed.
        vectors: ``m`` rows of float16, little-endian, each of length 1.
        answers: ``m`` answers in their order.
        created: When, UTC.
        expires: Until when it answers: hosted models change behind their names.
    """

    task: str
    release: int
    upstream: str
    model: str
    frame: str
    encoder: str
    certificate: Certificate
    vectors: bytes
    answers: tuple[Completion, ...]
    created: datetime
    expires: datetime


class SimilarState(msgspec.Struct, frozen=True, kw_only=True):
    """A bank and whether it answers.

    Attributes:
        task: Name of the task.
        release: Release that asked.
        upstream: Name of the upstream that answered.
        questions: How many it holds.
        certificate: What is claimed.
        created: When it was certified, UTC.
        expires: Until when it answers.
        lapsed: Why it does not answer any more, in words; ``None`` where it does.
    """

    task: str
    release: int
    upstream: str
    questions: int
    certificate: Certificate
    created: datetime
    expires: datetime
    lapsed: str | None = None


class SimilarFound(msgspec.Struct, frozen=True, kw_only=True):
    """What certifying came to.

    Attributes:
        task: Name of the task.
        release: Release that asked.
        questions: Texts whose questions were put to the model, or known already.
        micro_usd: What the calls cost that were made for it.
        banks: One per prompt that is certified.
        refused: Why other prompts are not, in words.
    """

    task: str
    release: int
    questions: int
    micro_usd: int
    banks: tuple[SimilarState, ...] = ()
    refused: tuple[str, ...] = ()
