"""Texts to vectors in OpenAI's format."""

import base64

import numpy as np

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
    vectors = np.ascontiguousarray(found.vectors, dtype="<f4")
    embeddings: list[list[float] | str]
    if request.encoding_format == "base64":
        embeddings = [base64.b64encode(row).decode("ascii") for row in vectors]
    else:
        embeddings = vectors.tolist()
    tokens = found.tokens + found.cached_tokens
    return Embeddings(
        data=tuple(Embedding(index=i, embedding=each) for i, each in enumerate(embeddings)),
        model=request.model,
        usage=EmbeddingsUsage(
            prompt_tokens=tokens,
            total_tokens=tokens,
            prompt_tokens_details=PromptDetails(cached_tokens=found.cached_tokens),
        ),
    )
