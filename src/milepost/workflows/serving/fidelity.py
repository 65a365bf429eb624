"""On which variant of the encoder a release serves: the fast one only where its answers agree.

A scorecard holds for the variant that it was measured on. Before a release serves on another, its
answers on both are compared on texts of its own task, and the ledger keeps what was found.
"""

import logging
import math
from typing import NamedTuple

import msgspec
import numpy as np

from milepost._base.digest import digest_of
from milepost.entities.contest import Contest
from milepost.entities.errors import EncoderError, MilepostError
from milepost.entities.ids import Digest
from milepost.entities.kinds import KINDS
from milepost.entities.release import Manifest
from milepost.entities.serving import Fidelity
from milepost.metrics.scoring.deciding import decided
from milepost.models.cached import CachedEncoder
from milepost.models.encoder import Encoder
from milepost.models.export import Variant
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.pairs import reads
from milepost.models.trunk import Trunk
from milepost.predictors.reading import batch_for
from milepost.serving.driving import is_driven
from milepost.storage.files.vectors import FileVectorStore
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import inputs_for, load_bundle

_log = logging.getLogger("milepost")

FAST: Variant = "int8"
REFERENCE: Variant = "fp32"

MOST_TEXTS = 400
FEWEST_TEXTS = 60
AGREE = 0.985
"""Smallest share of equal labels. On 400 texts at most 6 may differ: a variant that truly differs
on 3 in 100 passes 4 times in 100, one that differs on 1 in 100 passes 89 times. On 60 none may
differ, which a variant that differs on 5 in 100 survives 5 times in 100."""

LOSS = 0.3
"""Points of accuracy that may be lost. 400 texts cannot show so little: a release is refused where
its loss is larger by more than chance explains (one-sided exact sign test, 5 %)."""

DRIVEN = "what it promises was measured on it"
"""Why a release that asks language models, or tells which of its rungs answered, serves on the
reference."""

_DOUBT = 0.05


class Chosen(NamedTuple):
    """A variant and why.

    Attributes:
        variant: ``int8`` or ``fp32``.
        reason: In one sentence without its full stop.
    """

    variant: Variant
    reason: str


class _Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Of the record of a contest's split, what says which rows were judged on."""

    examples_artifact: Digest
    test_artifact: Digest | None
    train: tuple[int, ...]
    holdout: tuple[int, ...] | None


def trunk_for(context: Context, variant: Variant) -> Trunk:
    """The workspace's encoder in a variant; each is opened once per process.

    Raises:
        EncoderError: If the encoder cannot be had in this variant.
    """
    return context.trunk(variant)


def variant_for(context: Context, bundle: Digest, manifest: Manifest) -> Chosen:
    """The variant on which a bundle serves; checks it now where nobody has yet.

    A check takes a second or two of encoding, once per bundle; it is made when a release is
    loaded, never when a question waits.

    Args:
        context: The workspace.
        bundle: Digest of the bundle.
        manifest: The bundle's own; it reads vectors.

    Raises:
        StorageError: If the ledger cannot be read or written.
    """
    context = context.reading(manifest.encoder)
    if manifest.answers and KINDS[manifest.answers].link != "softmax":
        return Chosen(REFERENCE, "answers of its kind are given as they were measured")
    if context.settings.serve_variant == REFERENCE:
        return Chosen(REFERENCE, "the setting serve_variant says so")
    try:
        trunk = trunk_for(context, FAST)
    except EncoderError as error:
        return Chosen(REFERENCE, f"the encoder has no {FAST}: {error.what.rstrip('.')}")
    if trunk.digest != manifest.encoder:
        return Chosen(REFERENCE, "it was measured with another encoder")
    found = context.ledger.fidelity(bundle, FAST)
    if found is None:
        try:
            found = check(context, bundle)
        except MilepostError as error:
            return Chosen(REFERENCE, f"it could not be checked on {FAST}: {error.what.rstrip('.')}")
    return Chosen(FAST if found.passed else REFERENCE, in_words(found))


def check_released(context: Context, contest: Contest) -> Chosen | None:
    """Makes the check of what a contest has just released, where it reads the encoder's vectors.

    Never fails: what cannot be checked now is checked, or served in fp32, when it is loaded.

    Returns:
        On which variant it will serve; ``None`` where there is nothing to choose.
    """
    chosen = contest.chosen
    if contest.release is None or chosen is None or chosen.bundle is None:
        return None
    if not isinstance(context.bare_encoder(), OnnxEncoder):
        return None  # an encoder of somebody's own has no variants
    try:
        predictor, manifest = load_bundle(context, chosen.bundle)
        if predictor.uses == "vectors" and is_driven(predictor):
            return Chosen(REFERENCE, DRIVEN)
        if predictor.uses == "vectors":
            return variant_for(context, chosen.bundle, manifest)
    except MilepostError as error:
        _log.info("The release was not checked on %s: %s", FAST, error)
    return None


def check(context: Context, bundle: Digest) -> Fidelity:
    """Compares a bundle's answers on both variants and records what was found.

    Texts are those that its contest judged on, which it was not fitted to: the holdout or test
    file where there is one, else the examples, drawn by their digest.

    Raises:
        MilepostError: If the texts are gone, or the encoder has no such variant.
    """
    predictor, manifest = load_bundle(context, bundle)
    context = context.reading(manifest.encoder)
    texts, labels = _texts(context, bundle, manifest)
    slow, fast = (
        decided(predictor.predict(batch_for(predictor, texts, each)).probabilities)
        for each in (reads(manifest.inputs, _encoder(context, v)) for v in (REFERENCE, FAST))
    )
    agree = int((slow == fast).sum())
    column = {label: i for i, label in enumerate(predictor.labels)}
    known = [row for row, label in enumerate(labels) if label in column]
    truth = np.array([column[str(labels[row])] for row in known], np.int64)
    lost = int(((slow[known] == truth) & (fast[known] != truth)).sum())
    won = int(((slow[known] != truth) & (fast[known] == truth)).sum())
    found = Fidelity(
        bundle=bundle,
        encoder=str(manifest.encoder),
        variant=FAST,
        reference=REFERENCE,
        n=len(texts),
        agree=agree,
        loss=100 * (lost - won) / len(known) if known else None,
        passed=passes(len(texts), agree, (lost, won, len(known))),
        at=context.clock(),
    )
    context.ledger.add_fidelity(found, actor=context.actor)
    return found


def passes(texts: int, agree: int, changed: tuple[int, int, int]) -> bool:
    """Whether a release may serve on the fast variant.

    Args:
        texts: Compared.
        agree: Of these, with the same label.
        changed: Labelled texts that only the reference gets right, that only the fast variant
            gets right, and labelled texts in all.
    """
    if texts < FEWEST_TEXTS or agree < AGREE * texts:
        return False
    lost, won, labelled = changed
    allowed = LOSS / 100 * labelled
    if lost - won <= allowed:
        return True
    # Were the loss just what is allowed, this share of the changed answers would be for the worse.
    share = min(1.0, 0.5 + allowed / (2 * (lost + won)))
    return at_least(lost, lost + won, share) > _DOUBT


def at_least(successes: int, n: int, share: float) -> float:
    """Probability of so many successes or more in ``n`` draws of the binomial distribution."""
    return math.fsum(
        math.comb(n, k) * share**k * (1.0 - share) ** (n - k) for k in range(successes, n + 1)
    )


def agreement(found: Fidelity) -> tuple[float, float]:
    """The 95 % interval of the share of texts with the same label, each in [0, 1].

    Exact (Clopper and Pearson, 1934), by halving: a server imports nothing that knows quantiles of
    the beta distribution.
    """

    def share(k: int, tail: float) -> float:
        """Where ``k`` or more equal labels have the probability ``tail``."""
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if at_least(k, found.n, middle) < tail else (low, middle)
        return (low + high) / 2

    low = share(found.agree, 0.025) if found.agree else 0.0
    return low, share(found.agree + 1, 0.975) if found.agree < found.n else 1.0


def in_words(found: Fidelity) -> str:
    """What a check found, in one sentence without its full stop."""
    if found.n < FEWEST_TEXTS:
        return f"{found.n} texts are too few to compare {found.variant} with {found.reference}"
    low, high = (100 * share for share in agreement(found))
    said = f"{found.agree:,} of {found.n:,} answers on {found.variant} are the same as on "
    said += f"{found.reference} ({100 * found.agree / found.n:.1f} %, 95 % interval {low:.1f} to "
    said += f"{high:.1f}"
    if not found.passed and found.agree < AGREE * found.n:
        said += f"; {100 * AGREE:g} % are asked for"
    lost = "" if found.loss is None else f", {max(found.loss, 0.0):.1f} points of accuracy lost"
    return f"{said}){lost}; its scorecard was measured on {found.reference}"


def _texts(
    context: Context, bundle: Digest, manifest: Manifest
) -> tuple[list[str], list[str | None]]:
    """Prepared texts of the task with their labels."""
    from milepost.workflows.contest.snapshots import stored_examples

    contest = _contest_of(context, bundle, manifest)
    rows: tuple[int, ...] | None = None
    artifact = context.ledger.dataset(Digest(str(manifest.examples))).artifact
    if contest is not None and contest.split is not None:
        split = msgspec.json.decode(context.artifacts.get(contest.split), type=_Rows)
        rows = split.train if split.holdout is None else split.holdout
        artifact = split.test_artifact or split.examples_artifact
    examples = stored_examples(context, artifact)
    kept = range(len(examples)) if rows is None else rows
    drawn = sorted(
        (row for row in kept if examples.texts[row]),  # what was forgotten has no text
        key=lambda row: digest_of([bundle, examples.texts[row]]),
    )[:MOST_TEXTS]
    taken = examples.take(drawn)
    return inputs_for(context, manifest, taken), list(taken.labels)


def _contest_of(context: Context, bundle: Digest, manifest: Manifest) -> Contest | None:
    for contest in context.ledger.contests(manifest.task):
        if any(candidate.bundle == bundle for candidate in contest.candidates):
            return contest
    return None


def _encoder(context: Context, variant: Variant) -> Encoder:
    """The encoder in a variant, behind the vector cache."""
    return CachedEncoder(OnnxEncoder(trunk_for(context, variant)), _store(context))


def _store(context: Context) -> FileVectorStore:
    return FileVectorStore(context.root / ".milepost" / "vectors")
