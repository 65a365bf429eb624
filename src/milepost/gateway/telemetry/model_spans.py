"""The span of one call of a language model, in OpenTelemetry's words for generative AI.

Neither questions nor answers stand in it: what is kept of those is said by the rules of recording.
"""

from typing import TYPE_CHECKING

from milepost.entities.language import Completion, ModelRequest
from milepost.entities.money import MICRO
from milepost.entities.upstream import Upstream
from milepost.gateway.telemetry import names
from milepost.models.language.asking import Terms

if TYPE_CHECKING:
    from milepost.gateway.telemetry.spans import Spans

PROVIDERS = {
    "openai": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
}
"""The conventions' name of who speaks a wire format; of any other the format's own."""


class ModelSpan:
    """A span from the call to its end; ended by exactly one of its methods.

    Args:
        spans: Makes it.
        upstream: Who is asked.
        request: What.
        terms: Under what.
        stream: Whether the answer comes in pieces.
    """

    def __init__(
        self,
        spans: "Spans",
        upstream: Upstream,
        request: ModelRequest,
        terms: Terms,
        *,
        stream: bool,
    ) -> None:
        provider = PROVIDERS.get(upstream.wire, upstream.wire)
        attributes: dict[str, str | int | float | bool] = {
            names.SPAN_KIND: names.KIND_LLM,
            names.GEN_AI_OPERATION: names.CHAT,
            names.GEN_AI_PROVIDER: provider,
            names.GEN_AI_REQUEST_MODEL: upstream.model,
            names.GEN_AI_MAX_TOKENS: request.max_tokens,
            names.GEN_AI_STREAM: stream,
            names.LLM_MODEL: upstream.model,
            names.LLM_PROVIDER: provider,
            names.UPSTREAM: upstream.name,
            names.PURPOSE: terms.purpose,
        }
        told = {
            names.GEN_AI_TEMPERATURE: request.temperature,
            names.GEN_AI_TOP_P: request.top_p,
            names.GEN_AI_SEED: request.seed,
            names.TASK: terms.task,
            names.KEY: terms.key,
        }
        attributes.update({name: value for name, value in told.items() if value is not None})
        self._span = spans.calling(f"{names.CHAT} {upstream.model}", attributes, terms.parent)
        self.parent = spans.header(self._span)

    def answered(self, whole: Completion) -> None:
        """The call was answered."""
        tokens = whole.tokens
        self._span.set_attributes(
            {
                names.GEN_AI_RESPONSE_MODEL: whole.model,
                names.GEN_AI_FINISH: (whole.finish,),
                names.GEN_AI_INPUT_TOKENS: tokens.input,
                names.GEN_AI_OUTPUT_TOKENS: tokens.output,
                names.GEN_AI_CACHED_TOKENS: tokens.cached_input,
                names.GEN_AI_REASONING_TOKENS: tokens.reasoning,
                names.LLM_PROMPT_TOKENS: tokens.input,
                names.LLM_COMPLETION_TOKENS: tokens.output,
                names.COST_USD: whole.micro_usd / MICRO,
                names.ATTEMPTS: whole.attempts,
                names.CACHE: whole.cached or "miss",
            }
        )
        self._span.end()

    def failed(self, outcome: str) -> None:
        """The call failed; only how is told, for an error's words may quote what was asked."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute(names.ERROR_TYPE, outcome)
        self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
