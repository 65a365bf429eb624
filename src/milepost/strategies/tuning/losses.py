"""Losses on vectors of unit length: contrast within a batch, and an anchor per label.

Each in two forms: where one label holds, and where any number may.
"""

from typing import Any


def contrastive(vectors: Any, y: Any, temperature: float) -> Any:
    """Supervised contrastive loss, averaged over rows with a partner.

    Khosla et al. 2020, equation 2 (the sum over positives outside the logarithm).

    Args:
        vectors: ``(b, d)`` of unit length.
        y: ``(b,)`` labels.
        temperature: > 0.

    Returns:
        A scalar; 0 where no two rows share a label.
    """
    import torch

    itself = torch.eye(len(y), dtype=torch.bool)
    logits = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    logs = torch.log_softmax(logits, dim=1).masked_fill(itself, 0.0)
    same = (y[:, None] == y[None, :]) & ~itself
    partners = same.sum(dim=1)
    rows = partners > 0
    if not bool(rows.any()):
        return vectors.sum() * 0.0
    own = (logs * same).sum(dim=1)[rows] / partners[rows]
    return -own.mean()


def anchored(vectors: Any, y: Any, anchors: Any, temperature: float) -> Any:
    """Log loss of the similarity to one anchor per label (a cosine classifier).

    Args:
        vectors: ``(b, d)`` of unit length.
        y: ``(b,)`` labels.
        anchors: ``(k, d)``, of any length.
        temperature: > 0.
    """
    import torch

    directions = torch.nn.functional.normalize(anchors, dim=1)
    return torch.nn.functional.cross_entropy(vectors @ directions.T / temperature, y)


def contrastive_sets(vectors: Any, sets: Any, temperature: float) -> Any:
    """As ``contrastive``, partners weighted by the share of their labels that they have in common.

    Args:
        vectors: ``(b, d)`` of unit length.
        sets: ``(b, k)`` of 0 and 1.
        temperature: > 0.

    Returns:
        A scalar; 0 where no two rows share a label.
    """
    import torch

    itself = torch.eye(len(sets), dtype=torch.bool)
    logits = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    logs = torch.log_softmax(logits, dim=1).masked_fill(itself, 0.0)
    both = sets @ sets.T
    either = sets.sum(1)[:, None] + sets.sum(1)[None, :] - both
    shares = (both / either.clamp_min(1.0)).masked_fill(itself, 0.0)
    sums = shares.sum(dim=1)
    rows = sums > 0
    if not bool(rows.any()):
        return vectors.sum() * 0.0
    return -((logs * shares).sum(dim=1)[rows] / sums[rows]).mean()


def anchored_sets(vectors: Any, sets: Any, anchors: Any, biases: Any, temperature: float) -> Any:
    """Log loss of each label by itself, from the similarity to its anchor; summed over labels.

    Args:
        vectors: ``(b, d)`` of unit length.
        sets: ``(b, k)`` of 0 and 1.
        anchors: ``(k, d)``, of any length.
        biases: ``(k,)``.
        temperature: > 0.
    """
    import torch

    directions = torch.nn.functional.normalize(anchors, dim=1)
    logits = vectors @ directions.T / temperature + biases
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, sets, reduction="none")
    return losses.sum(dim=1).mean()


def first_biases(logits: Any, shares: Any) -> Any:
    """With which the mean of the logistic function of each column is a share, by bisection.

    Args:
        logits: ``(n, k)``.
        shares: ``(k,)`` in (0, 1).
    """
    import torch

    low, high = torch.full_like(shares, -60.0), torch.full_like(shares, 60.0)
    for _ in range(40):
        middle = (low + high) / 2.0
        less = torch.sigmoid(logits + middle).mean(dim=0) < shares
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return (low + high) / 2.0
