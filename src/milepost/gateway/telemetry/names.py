"""Names of the attributes of spans: the one place where other people's conventions stand.

OpenTelemetry's semantic conventions for generative AI (opentelemetry.io/docs/specs/semconv/gen-ai)
and OpenInference (github.com/Arize-ai/openinference, spec/semantic_conventions.md). What neither
has a name for begins with ``milepost.``.
"""

GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_ID = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
ERROR_TYPE = "error.type"

CLASSIFY = "classify"
EMBEDDINGS = "embeddings"
PROVIDER = "milepost"

SPAN_KIND = "openinference.span.kind"
KIND_DECISION = "DECISION"
KIND_EMBEDDING = "EMBEDDING"
DECISION_MODEL = "decision.model_name"
DECISION_REQUEST_MODEL = "decision.request.model_name"
DECISION_RESPONSE_MODEL = "decision.response.model_name"
DECISION_PROVIDER = "decision.provider"
DECISION_INPUT_TOKENS = "decision.token_count.input"
INPUT_VALUE = "input.value"
INPUT_TYPE = "input.mime_type"
OUTPUT_VALUE = "output.value"
OUTPUT_TYPE = "output.mime_type"
TEXT_TYPE = "text/plain"
JSON_TYPE = "application/json"

TASK = "milepost.task"
RELEASE = "milepost.release"
CHANNEL = "milepost.channel"
PROTOCOL = "milepost.protocol"
KEY = "milepost.key"
REQUEST = "milepost.request"
INPUTS = "milepost.inputs"
CACHED = "milepost.cached"
COST_USD = "milepost.cost_usd"
GUARDS_TRIPPED = "milepost.guards.tripped"
BATCH_TEXTS = "milepost.batch.texts"
BATCH_WAITED = "milepost.batch.waited_seconds"
ENCODER_VARIANT = "milepost.encoder.variant"
