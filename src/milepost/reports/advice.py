"""Advice about money in plain words: a table of offers, then sentences."""

from milepost.entities.advice import Advice, BreakEven, Offer, PointPrice
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Bullets,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Row,
)


def advice_document(advice: Advice) -> Document:
    """What each candidate costs, what a point of quality costs, and when a specialist pays off."""
    metric = words.metric_name(advice.metric)
    parts: list[Part] = [
        Line(
            (
                (advice.task, "strong"),
                (f"  what answers cost and are worth, by contest {advice.contest}", ""),
            )
        ),
        BLANK,
        _grid(advice, metric),
        BLANK,
        Line((("What a point costs", "strong"), (f"  (a hundredth of {metric})", "dim"))),
        Bullets(_points(advice)),
        BLANK,
        Line((("When a specialist pays", "strong"),)),
        Bullets(_breaks(advice)),
        BLANK,
        Line((("What is taken for granted", "strong"),)),
        Bullets(_assumed(advice)),
        BLANK,
        Line((("What is not known", "strong"),)),
        Bullets(advice.unknown),
    ]
    return Document(tuple(parts))


def _grid(advice: Advice, metric: str) -> Grid:
    monthly = advice.assumed.per_month is not None
    columns = [
        Column(""),
        Column("candidate", wraps=True),
        Column(metric, "right"),
        Column("$ per 1,000", "right"),
        Column("p95 ms", "right"),
        Column("asks", wraps=True),
    ]
    if monthly:
        columns.insert(4, Column("$ a month", "right"))
    return Grid(tuple(columns), tuple(_row(offer, monthly=monthly) for offer in advice.offers))


def _row(offer: Offer, *, monthly: bool) -> Row:
    cells = [
        Cell("★" if offer.chosen else "", "accent"),
        Cell(words.clean(offer.strategy)),
        Cell(words.measured(offer.quality)),
        Cell(words.usd(offer.usd_per_1k)),
        Cell(words.milliseconds(offer.p95_ms)),
        Cell(words.clean(", ".join(offer.upstreams)), "dim"),
    ]
    if monthly:
        cells.insert(4, Cell(words.usd(offer.month_usd or 0.0)))
    return Row(tuple(cells), "" if offer.on_frontier else "dim")


def _points(advice: Advice) -> tuple[str, ...]:
    if not advice.points:
        best = next(offer for offer in advice.offers if offer.on_frontier)
        if len(advice.offers) == 1:
            return (f"{best.strategy} is the only one with numbers.",)
        return (f"{best.strategy} is both the cheapest and the best: a point costs nothing.",)
    found = [_point(point) for point in advice.points]
    beaten = [offer for offer in advice.offers if offer.upstreams and not offer.on_frontier]
    found += [
        f"{offer.strategy} is no way to buy a point: something cheaper is at least as good."
        for offer in beaten
    ]
    return tuple(found)


def _point(point: PointPrice) -> str:
    text = (
        f"From {point.cheaper} to {point.better}: {point.points:.1f} points for "
        f"{words.usd(point.usd_per_1k)} more per 1,000 answers, "
        f"{words.usd(point.usd_per_point)} a point."
    )
    return text if point.sure else f"{text} The difference may be chance."


def _breaks(advice: Advice) -> tuple[str, ...]:
    if not advice.break_even:
        return ("There is nothing to weigh: it takes a specialist and one who is prompted.",)
    return tuple(_break(found, advice) for found in advice.break_even)


def _break(found: BreakEven, advice: Advice) -> str:
    quality = _quality(found)
    if found.worth == "never_pays" or found.per_month is None or found.answers is None:
        return f"{quality} It never pays: its answers cost no less."
    saves = f"It saves {words.usd(found.saved_usd_per_1k)} per 1,000 answers"
    shared = (
        f" The {words.count(found.shared_labels, 'label')} that both need count for neither."
        if found.shared_labels
        else ""
    )
    if found.worth == "pays_at_once" or max(found.per_month, found.answers) <= 1:
        return f"{quality} {saves} and costs nothing more: it pays at any volume.{shared}"
    monthly = (
        f" and {words.usd(found.usd_per_month_more)} a month" if found.usd_per_month_more else ""
    )
    return (
        f"{quality} {saves} and costs {words.usd(found.once_usd)} once{monthly}: over "
        f"{advice.assumed.months:g} months it pays from {words.count(found.per_month, 'answer')} "
        f"a month on (what is paid once is earned back after {found.answers:,}).{shared}"
    )


def _quality(found: BreakEven) -> str:
    """Quality comes first: who saves at the price of it should know that price."""
    size = f"{abs(found.points):.1f} points {'better' if found.points >= 0 else 'worse'}"
    between = f"than {found.prompted} ({found.low:+.1f} to {found.high:+.1f})"
    if found.low <= 0.0 <= found.high:
        return f"{found.specialist} was measured {size} {between}: which is better is not known."
    return f"{found.specialist} is {size} {between}."


def _assumed(advice: Advice) -> tuple[str, ...]:
    given = advice.assumed
    labels = max((offer.labels for offer in advice.offers), default=0)
    found = [
        f"{labels:,} labels at {_price(given.usd_per_label)} each (--labels, --usd-per-label).",
        f"What is paid once is spread over {given.months:g} months (--months).",
        f"{given.labels_per_month:,} labels a month to stay up to date (--labels-per-month), and "
        f"{_price(given.fixed_usd_per_month)} a month for a machine (--fixed-usd-per-month).",
        f"A CPU-hour costs {_price(advice.cpu_usd_per_hour)} (cpu_usd_per_hour in milepost.toml).",
    ]
    if advice.priced is not None:
        found.append(f"Language models cost what they did since {advice.priced}.")
    return tuple(found)


def _price(amount: float) -> str:
    """A price as people write it, with cents where these say it all."""
    return f"${amount:,.2f}" if round(amount, 2) == amount else words.usd(amount)
