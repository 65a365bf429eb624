"""How long requests are, in characters, and in tokens as far as that can be told without a model.

Knows no tokenizer: each provider has its own. What an upstream counted in earlier calls says how
many characters one of its tokens holds.
"""

from milepost._base.digest import canonical_json
from milepost.entities.language import Completion, Message, ModelRequest, Tokens

CHARACTERS = 4.0
"""Characters of a token before anything was counted: English text with today's tokenizers."""

MESSAGE = 4
"""Tokens around each message: its role and its separators."""

IMAGE = 1_000
"""Tokens of an image, at about; providers count between 85 and 1,600."""

ASSUMED = 200
"""Tokens that the assumption counts for: what was seen outweighs it after a few calls."""


def characters(request: ModelRequest) -> int:
    """Characters of all texts that the model reads, its schema and tools included."""
    found = sum(_of(message) for message in request.messages)
    if request.schema is not None:
        found += len(canonical_json(request.schema))
    for tool in request.tools:
        found += len(tool.name) + len(tool.description) + len(canonical_json(tool.parameters))
    return found


def images(request: ModelRequest) -> int:
    """How many images the model sees."""
    return sum(
        part.image is not None
        for message in request.messages
        if not isinstance(message.content, str)
        for part in message.content
    )


class Lengths:
    """Tokens that requests will take, from their lengths and from what earlier calls took.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._characters = CHARACTERS * ASSUMED
        self._tokens = float(ASSUMED)
        self._written: dict[int, tuple[int, int]] = {}
        """By ``max_tokens``: calls and the tokens that they wrote together."""

    def saw(self, request: ModelRequest, completion: Completion) -> None:
        """Learn from a call that the upstream answered; images would blur the measure."""
        tokens = completion.tokens
        if tokens.input and not images(request):
            self._characters += characters(request)
            self._tokens += max(0, tokens.input - MESSAGE * len(request.messages))
        if tokens.output:
            calls, written = self._written.get(request.max_tokens, (0, 0))
            self._written[request.max_tokens] = (calls + 1, written + tokens.output)

    def about(self, request: ModelRequest) -> Tokens:
        """Tokens of a request at about; all of ``max_tokens`` until calls like it were seen."""
        read = characters(request) * self._tokens / self._characters
        read += MESSAGE * len(request.messages) + IMAGE * images(request)
        calls, written = self._written.get(request.max_tokens, (0, 0))
        output = round(written / calls) if calls else request.max_tokens
        return Tokens(input=round(read), output=output)


def _of(message: Message) -> int:
    content = message.content
    if isinstance(content, str):
        found = len(content)
    else:
        found = sum(len(part.text or "") for part in content)
    return found + sum(
        len(call.name) + len(call.arguments) + len(call.thought or "")
        for call in message.tool_calls
    )
