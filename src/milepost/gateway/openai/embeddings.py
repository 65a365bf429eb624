"""Texts to vectors in OpenAI's format."""

import base64

import numpy as np
from numpy.typing import NDArray

from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.models import no_model
from milepost.gateway.openai.wire import (
    Embedding,
    Embeddings,
    EmbeddingsRequest,
    EmbeddingsUsage,
    PromptDetails,
)
from milepost.serving.asking import Embedded, ServedEncoder


def embeddings_texts(request: EmbeddingsRequest, encoder: ServedEncoder | None) -> list[str]:
    """The texts of a request, at least one.

    Raises:
        RefusedError: If the model is not the encoder.
        RefusedError: If the input holds tokens, or the vectors should be shorter than they are.
    """
    known = [] if encoder is None else [encoder.name]
    if encoder is None or request.model != encoder.name:
        raise no_model(request.model, known)
    if request.dimensions not in (None, encoder.dimensions):
        raise RefusedError(
            400,
            "invalid_value",
            f"vectors of {encoder.name} have {encoder.dimensions} dimensions, "
            f"not {request.dimensions}.",
            param="dimensions",
            advice="Leave the field out.",
        )
    return given_texts(request)


def given_texts(request: EmbeddingsRequest) -> list[str]:
    """The texts of a request, at least one.

    Raises:
        RefusedError: If there is none, or the input holds tokens.
    """
    texts = [request.input] if isinstance(request.input, str) else request.input
    if not texts:
        raise RefusedError(
            400, "invalid_value", "there is no text.", param="input", advice="Give one, or a list."
        )
    if not all(isinstance(text, str) for text in texts):
        raise RefusedError(
            400,
            "invalid_value",
            "the input holds tokens, not text.",
            param="input",
            advice="Tokens of another tokenizer mean nothing to this encoder: send the texts "
            "(in LangChain: check_embedding_ctx_length=False).",
        )
    return [text for text in texts if isinstance(text, str)]


def embeddings_response(request: EmbeddingsRequest, found: Embedded) -> Embeddings:
    """Vectors as the request asked for them."""
    tokens = found.tokens + found.cached_tokens
    return Embeddings(
        data=embedded(found.vectors, request),
        model=request.model,
        usage=EmbeddingsUsage(
            prompt_tokens=tokens,
            total_tokens=tokens,
            prompt_tokens_details=PromptDetails(cached_tokens=found.cached_tokens),
        ),
    )


def embedded(vectors: NDArray[np.float32], request: EmbeddingsRequest) -> tuple[Embedding, ...]:
    """Vectors ``(n, d) float32`` as numbers or as base64, as the request asked for them."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    embeddings: list[list[float] | str]
    if request.encoding_format == "base64":
        embeddings = [base64.b64encode(row).decode("ascii") for row in rows]
    else:
        embeddings = rows.tolist()
    return tuple(Embedding(index=i, embedding=each) for i, each in enumerate(embeddings))
