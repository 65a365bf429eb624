"""A language model that computes its answers by a rule: for tests, tutorials and rehearsals.

It reads the labels, the examples and the text out of the request (``reading``) and chooses the
label whose name, description and examples share most words with the text, rare words counting more.
Where it is given labelled texts (``knows``) it chooses their label instead. Some answers are then
made wrong, so that a share of ``accuracy`` follows the rule: how hard a text is depends on the text
alone, so that phrasings fail together; whether it fails depends on the whole request. Where the
label is known, log-probabilities say truthfully how often such an answer is right; where it follows
from words, they say how close the labels came. The same request gets the same answer, everywhere
and for ever.
"""

import asyncio
import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from milepost._base.digest import digest_of
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.money import MICRO
from milepost.entities.upstream import Capabilities, Endpoint, Price, Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.inside import spelling
from milepost.models.language.inside.options import Rule, known_labels, options
from milepost.models.language.inside.reading import Asked, Known, last_text, read

DIMENSIONS = 64
LEAST = 1e-6
"""Smallest probability of a label, so that every logarithm is finite."""


def fake_upstream(
    name: str = "big",
    base_url: str = "fake:",
    *,
    price_in: float = 2.5,
    price_out: float = 10.0,
    since: date = date(2026, 1, 1),
) -> Upstream:
    """A row for a fake upstream; prices in USD per million tokens."""
    return Upstream(
        name=name,
        wire="fake",
        model="fake",
        endpoints=(Endpoint(base_url=base_url),),
        prices=(
            Price(since=since, input=round(price_in * MICRO), output=round(price_out * MICRO)),
        ),
        capabilities=Capabilities(
            streaming=True, schema=True, tools=True, logprobs=True, vision=False, embeddings=True
        ),
    )


class Fake:
    """Answers by the rule of this module; implements ``LanguageModel``. Any thread may ask.

    Args:
        upstream: Its row; its prices make the cost, its capabilities what is refused.
        endpoint: Whose ``base_url`` holds the options (``Rule``); ``None`` for the first one.
        root: Folder that paths of options are relative to; ``None`` for the current one.
        clock: Monotonic seconds, as deadlines are given in.
        today: The day whose price counts.

    Raises:
        InputError: If the options cannot be read.
    """

    def __init__(
        self,
        upstream: Upstream,
        endpoint: Endpoint | None = None,
        *,
        root: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._upstream = upstream
        self._endpoint = endpoint or upstream.endpoints[0]
        self._rule = options(self._endpoint.base_url, Rule)
        self._labels: Mapping[str, str] = (
            known_labels(self._rule.knows, root) if self._rule.knows else {}
        )
        self._known = Known(self._labels)
        self._clock = clock
        self._today = today

    @property
    def upstream(self) -> Upstream:
        """Its row."""
        return self._upstream

    def say(self, request: ModelRequest) -> Completion:
        """The answer without waiting for it.

        Raises:
            UpstreamError: If the request is too long, or asks for what the upstream cannot do.
        """
        self._refuse(request)
        if self._rule.says:
            spoken = spelling.told(request, {self._rule.says: 1.0})
            seconds = self._rule.seconds
        else:
            spoken, seconds = self._follow(request)
        tokens = self._tokens(request, spoken.tokens)
        return Completion(
            text=spoken.text,
            finish=spoken.finish,
            tokens=tokens,
            tool_calls=spoken.tool_calls,
            logprobs=spoken.logprobs,
            model=self._upstream.model,
            upstream=self._upstream.name,
            region=self._endpoint.region,
            micro_usd=self._cost(tokens),
            seconds=seconds,
        )

    def _follow(self, request: ModelRequest) -> tuple[spelling.Spoken, float]:
        """What the rule answers, and the seconds that it takes."""
        asked = read(request)
        draw = _Draw(self._rule.seed, asked.text, request)
        shares = self._shares(asked, last_text(request), draw) if asked.labels else {}
        spoken = spelling.spell(request, asked, shares, self._slip(draw))
        return spoken, self._rule.seconds * math.exp(self._rule.spread * draw.normal("seconds"))

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The answer, after as long as it takes."""
        completion = self.say(request)
        await self._wait(completion.seconds, terms)
        return completion

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """The answer token by token: the first after half of the time, then at an even pace."""
        completion = self.say(request)
        pieces = spelling.pieces(completion)
        await self._wait(completion.seconds / 2, terms)
        for number, piece in enumerate(pieces):
            if number:
                await self._wait(completion.seconds / 2 / len(pieces), terms)
            yield piece

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Unit vectors of 64 numbers from the words of each text: like words, like vectors."""
        if self._upstream.capabilities.embeddings is False:
            raise self._cannot("embed")
        await self._wait(self._rule.seconds, terms)
        read_ = Tokens(input=sum(math.ceil(len(text) / 4) for text in texts))
        return [_vector(text) for text in texts], read_

    async def close(self) -> None:
        """Nothing is held."""

    def _refuse(self, request: ModelRequest) -> None:
        able = self._upstream.capabilities
        wanted = {
            "answer by a JSON Schema": (request.schema is not None, able.schema),
            "call tools": (bool(request.tools), able.tools),
            "tell log-probabilities": (request.top_logprobs is not None, able.logprobs),
            "see images": (spelling.sees(request), able.vision),
        }
        for what, (asked, can) in wanted.items():
            if asked and can is False:
                raise self._cannot(what)
        most = self._upstream.context_tokens
        if most is not None and spelling.read_tokens(request) + request.max_tokens > most:
            raise UpstreamError(
                "too_long", f"the conversation is longer than {most:,} tokens.",
                upstream=self._upstream.name, attempts=1,
            )  # fmt: skip

    def _cannot(self, what: str) -> UpstreamError:
        return UpstreamError(
            "unsupported", f"this model cannot {what}.", upstream=self._upstream.name, attempts=1
        )

    def _shares(self, asked: Asked, message: str, draw: "_Draw") -> dict[str, float]:
        """Probability of each label; the one to say is the largest. Adds up to 1."""
        names = [label.name for label in asked.labels]
        known = self._known.find(message)
        truth = self._labels.get(known) if known is not None else None
        scores = overlap(asked)
        if truth in names:
            base = [float(name == truth) for name in names]
        else:
            tops = [math.exp(4.0 * score) for score in scores]
            base = [top / sum(tops) for top in tops]
        order = sorted(range(len(names)), key=lambda i: (-base[i], draw.text(f"tie {names[i]}")))
        risk = draw.risk(self._rule.accuracy)
        if draw.request("wrong") < risk and len(names) > 1:
            # Mostly the runner-up by words, as models confuse what is alike.
            others = sorted(order[1:], key=lambda i: (-scores[i], draw.request(f"o {names[i]}")))
            said = others[min(int(draw.request("other") ** 2 * len(others)), len(others) - 1)]
            base[order[0]], base[said] = base[said], base[order[0]]
        else:
            said = order[0]
        rest = risk / max(len(names) - 1, 1)
        mixed = [
            max(share * (1.0 - risk) + (0.0 if i == said else rest), LEAST)
            for i, share in enumerate(base)
        ]
        # Never quite level with another: what is said is what is most probable.
        mixed[said] = max(mixed[said], max(mixed) * (1 + 1e-6))
        whole = sum(mixed)
        return {name: share / whole for name, share in zip(names, mixed, strict=True)}

    def _slip(self, draw: "_Draw") -> spelling.Slip:
        u = draw.request("slip")
        if u < self._rule.unsure:
            return "unsure"
        return "wordy" if u < self._rule.unsure + self._rule.wordy else ""

    def _tokens(self, request: ModelRequest, written: int) -> Tokens:
        heard = spelling.read_tokens(request)
        return Tokens(
            input=heard,
            output=written + self._rule.reasoning,
            cached_input=int(heard * self._rule.cached),
            reasoning=self._rule.reasoning,
        )

    def _cost(self, tokens: Tokens) -> int:
        price = self._upstream.price(self._today())
        return 0 if price is None else price.cost(tokens)

    async def _wait(self, seconds: float, terms: Terms) -> None:
        left = None if terms.deadline is None else terms.deadline - self._clock()
        if left is not None and left < seconds:
            await asyncio.sleep(max(left, 0.0))
            raise UpstreamError(
                "timeout", "the deadline passed before it answered.",
                upstream=self._upstream.name, attempts=1,
            )  # fmt: skip
        if seconds > 0:
            await asyncio.sleep(seconds)


def overlap(asked: Asked) -> list[float]:
    """Of each label, how much of the text's words it shares, between 0 and 2.

    Words are weighed by their inverse document frequency over the labels. The best example counts
    as much as name and description.
    """
    text = set(_words(asked.text))
    labels = [set(_words(f"{label.name} {label.description}")) for label in asked.labels]
    shown = [
        [set(_words(example)) for example, name in asked.examples if name == label.name]
        for label in asked.labels
    ]
    seen = Counter(word for words in labels for word in words)
    for words in (w for examples in shown for w in examples):
        seen.update(words)
    count = len(labels) + sum(map(len, shown))
    weight = {word: math.log(1.0 + count / n) for word, n in seen.items()}

    def shared(words: set[str]) -> float:
        both = sum(weight[word] for word in text & words)
        whole = math.sqrt(
            sum(weight.get(word, math.log(1.0 + count)) for word in text)
            * sum(weight[word] for word in words)
        )
        return both / whole if whole else 0.0

    return [
        shared(words) + max((shared(example) for example in examples), default=0.0)
        for words, examples in zip(labels, shown, strict=True)
    ]


def _words(text: str) -> list[str]:
    """Words of three letters and more, cut to six so that forms of one word are equal."""
    return [word[:6] for word in re.findall(r"[^\W_]{3,}", text.casefold())]


def _vector(text: str) -> list[float]:
    vector = [LEAST] * DIMENSIONS
    for word in _words(text):
        digest = hashlib.sha256(word.encode()).digest()
        for place in digest[:4]:
            vector[place % DIMENSIONS] += 1.0 if digest[4 + place % 4] % 2 else -1.0
    length = math.sqrt(sum(v * v for v in vector))
    return [v / length for v in vector]


class _Draw:
    """Numbers between 0 and 1 that follow from the seed, the text and the request."""

    def __init__(self, seed: int, text: str, request: ModelRequest) -> None:
        self._text = f"{seed}\0{text}"
        self._request = f"{seed}\0{digest_of(request)}"

    def text(self, what: str) -> float:
        return _uniform(f"{self._text}\0{what}")

    def request(self, what: str) -> float:
        return _uniform(f"{self._request}\0{what}")

    def normal(self, what: str) -> float:
        """Standard normal, by Box and Muller's transform."""
        u, v = self.request(what), self.request(f"{what} angle")
        return math.sqrt(-2.0 * math.log(max(u, LEAST))) * math.cos(math.tau * v)

    def risk(self, accuracy: float) -> float:
        """Probability that this text is answered wrong; its mean over texts is 1 - accuracy."""
        hard = self.text("hard")
        if accuracy >= 0.5:
            return 2.0 * (1.0 - accuracy) * hard
        return 1.0 - 2.0 * accuracy * (1.0 - hard)


def _uniform(what: str) -> float:
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8]) / 2.0**64
