"""What a contest asked language models, in words: what it cost, of whom, on which terms."""

from collections.abc import Iterable

from milepost.entities.asked import Asked
from milepost.entities.contest import Candidate, Contest
from milepost.entities.money import MICRO, usd
from milepost.entities.upstream import NO_DAY, Price
from milepost.reports.document import Line, sentence


def asked_lines(contest: Contest) -> list[Line]:
    """The sentences on what was asked, as dim lines."""
    return [sentence(each, "dim") for each in asked_sentences(contest)]


def asked_sentences(contest: Contest) -> list[str]:
    """What was spent of what was allowed, and each model with its price; none where none took part.

    One sentence for each upstream, in the order in which the candidates rank.
    """
    if contest.budget_micro_usd is None:
        return []
    spent = (
        f"Language models cost {usd(contest.spent_micro_usd)} of {usd(contest.budget_micro_usd)} "
        "(answers that were known from before cost nothing)."
    )
    each = {asked.upstream: asked for asked in asked_of(contest.candidates)}
    return [spent, *map(model_words, each.values())]


def asked_of(candidates: Iterable[Candidate]) -> list[Asked]:
    """All that was asked, in the order of the candidates."""
    return [asked for candidate in candidates for asked in candidate.asked]


def model_words(asked: Asked) -> str:
    """An upstream with its model, price, licence and terms."""
    parts = [f"{asked.upstream}: model {asked.model}", price_words(asked.price)]
    parts += [f"licence {asked.licence}"] if asked.licence else []
    parts += [f"terms {asked.terms}"] if asked.terms else []
    return ", ".join(parts) + "."


def price_words(price: Price | None) -> str:
    """What tokens cost, and since when."""
    if price is None:
        return "price not known"
    per_call = f" and {usd(price.call)} per call" if price.call else ""
    since = f" since {price.since}" if price.since > NO_DAY else ""
    return f"{usd(price.input)} in and {usd(price.output)} out per million tokens{per_call}{since}"


def asked_json(asked: Asked) -> dict[str, object]:
    """What a candidate asked one upstream, for programs."""
    return {
        "upstream": asked.upstream,
        "model": asked.model,
        "requests": asked.requests,
        "failed": asked.failed,
        "input_tokens": asked.tokens.input,
        "output_tokens": asked.tokens.output,
        "cost_usd": asked.micro_usd / MICRO,
        "price_since": None if asked.price is None else str(asked.price.since),
        "licence": asked.licence,
        "terms": asked.terms,
    }
