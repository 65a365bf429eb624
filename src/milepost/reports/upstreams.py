"""Upstreams, and what trying one found, as tables."""

from collections.abc import Sequence
from datetime import date

from milepost.entities.money import MICRO, usd
from milepost.entities.upstream import (
    NO_DAY,
    Capabilities,
    Endpoint,
    Price,
    Upstream,
    UpstreamVersion,
)
from milepost.entities.upstream_check import CapabilityTried, EndpointTried, UpstreamCheck
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Role,
    Row,
    sentence,
)

_CAPABILITIES = {
    "streaming": "streaming",
    "schema": "JSON Schema",
    "tools": "tools",
    "logprobs": "log-probabilities",
    "vision": "images",
    "embeddings": "embeddings",
}


def upstreams_table(upstreams: Sequence[Upstream], today: date) -> Document:
    """Upstreams by name, with what a million tokens cost today."""
    if not upstreams:
        said = "There are no upstreams yet: `milepost upstreams add` registers one."
        return Document((sentence(said),))
    columns = (
        Column("upstream", wraps=True),
        Column("model", wraps=True),
        Column("wire"),
        Column("where", wraps=True),
        Column("in", "right"),
        Column("out", "right"),
    )
    rows = tuple(_upstream_row(each, today) for each in upstreams)
    priced = sentence("in, out: USD per million tokens read and written.", "dim")
    return Document((Grid(columns, rows), BLANK, priced))


def _upstream_row(upstream: Upstream, today: date) -> Row:
    price = upstream.price(today)
    places = [_host(each) for each in upstream.endpoints]
    unknown = Cell("no price", "warn")
    costs = (
        (unknown, Cell())
        if price is None
        else (Cell(_per_million(price.input)), Cell(_per_million(price.output)))
    )
    return Row(
        (
            Cell(upstream.name, "strong"),
            Cell(words.clean(upstream.model)),
            Cell(upstream.wire, "dim"),
            Cell(words.clean(", ".join(dict.fromkeys(places)))),
            *costs,
        )
    )


def upstream_sheet(versions: Sequence[UpstreamVersion], today: date) -> Document:
    """Everything that is known of one upstream, and who changed it when."""
    upstream = next(each.upstream for each in reversed(versions) if each.upstream is not None)
    head = Line(
        (
            (upstream.name, "accent"),
            (f"  {words.clean(upstream.model)}", "strong"),
            (f"  {upstream.wire}", "dim"),
        )
    )
    parts: list[Part] = [head, BLANK, _endpoints(upstream), BLANK, _prices(upstream, today)]
    parts += [BLANK, Grid((Column("", width=16), Column("", wraps=True)), _facts(upstream))]
    history = tuple(
        Row(
            (
                Cell(str(each.number)),
                Cell(words.day(each.created)),
                Cell(words.clean(each.actor)),
                Cell("removed", "bad") if each.upstream is None else Cell(""),
            )
        )
        for each in versions
    )
    columns = (Column("version", "right"), Column("since"), Column("by", wraps=True), Column(""))
    return Document((*parts, BLANK, Grid(columns, history)))


def _endpoints(upstream: Upstream) -> Grid:
    columns = (
        Column("endpoint", wraps=True),
        Column("key", wraps=True),
        Column("region", wraps=True),
        Column("weight", "right"),
        Column(""),
    )
    return Grid(columns, tuple(_endpoint_row(each) for each in upstream.endpoints))


def _endpoint_row(endpoint: Endpoint) -> Row:
    kind, _, place = (endpoint.key or "").partition(":")
    key = {"env": f"in {place}", "file": f"in the file {place}"}.get(kind, "none")
    return Row(
        (
            Cell(words.clean(endpoint.base_url)),
            Cell(words.clean(key), "" if endpoint.key else "dim"),
            Cell(words.clean(endpoint.region) or "–"),
            Cell(f"{endpoint.weight:g}"),
            Cell("private" if endpoint.private else "", "warn"),
        )
    )


def _prices(upstream: Upstream, today: date) -> Grid | Line:
    if not upstream.prices:
        said = "No price is known: where a budget applies, it is not asked."
        return Line(((said, ""),), mark=("!", "warn"))
    columns = (
        Column("", width=1),
        Column("USD per million tokens"),
        *(
            Column(name, "right")
            for name in ("in", "cached", "cache write", "out", "reasoning", "a call")
        ),
    )
    now = upstream.price(today)
    return Grid(columns, tuple(_price_row(each, each is now) for each in upstream.prices))


def _price_row(price: Price, holds: bool) -> Row:  # noqa: FBT001 - one of a pair of states
    def of(value: int | None) -> Cell:
        return Cell("same", "dim") if value is None else Cell(_per_million(value))

    first = price.since == NO_DAY
    since = "from the beginning" if first else f"from {price.since} (UTC)"
    return Row(
        (
            Cell("●" if holds else ""),
            Cell(since),
            of(price.input),
            of(price.cached_input),
            of(price.cache_write),
            of(price.output),
            of(price.reasoning),
            Cell(usd(price.call) if price.call else "–"),
        ),
        "" if holds else "dim",
    )


def _facts(upstream: Upstream) -> tuple[Row, ...]:
    hedge = upstream.hedge_after_s
    limit = f"{upstream.timeout_s:g} s a call, {upstream.at_once:,} at once"
    if hedge is not None:
        limit += f", a second one after {hedge:g} s"
    context = upstream.context_tokens
    facts = {
        "can": _can(upstream.capabilities),
        "limits": limit,
        "context": "" if context is None else f"{context:,} tokens",
        "balance": upstream.balance if len(upstream.endpoints) > 1 else "",
        "falls back on": ", ".join(upstream.fallback),
        "licence": words.clean(upstream.licence),
        "terms": words.clean(upstream.terms),
    }
    return tuple(Row((Cell(name, "dim"), Cell(value))) for name, value in facts.items() if value)


def _can(capabilities: Capabilities) -> str:
    known = {name: getattr(capabilities, name) for name in _CAPABILITIES}
    can = [_CAPABILITIES[name] for name, value in known.items() if value]
    cannot = [_CAPABILITIES[name] for name, value in known.items() if value is False]
    said = ", ".join(can)
    if cannot:
        said += f"{'; ' if said else ''}not {', '.join(cannot)}"
    return said or "not tried yet"


def check_sheet(check: UpstreamCheck) -> Document:
    """What trying an upstream found."""
    upstream = check.upstream
    parts: list[Part] = [
        Line(
            (
                (upstream.name, "accent"),
                (f"  {words.clean(upstream.model)}", "strong"),
                (f"  {upstream.wire}", "dim"),
            )
        ),
        BLANK,
    ]
    for each in check.endpoints:
        parts += _tried(each)
    if check.capabilities:
        columns = (Column("", width=1), Column("it can"), Column("", wraps=True))
        rows = tuple(_capability(each) for each in check.capabilities)
        parts += [BLANK, Grid(columns, rows)]
    parts += [BLANK, _bill(check)]
    if check.kept is not None:
        said = f"What was found is kept in version {check.kept} of {upstream.name}."
        parts.append(Line(((said, "dim"),), mark=("·", "dim")))
    return Document(tuple(parts))


def _tried(each: EndpointTried) -> list[Part]:
    place = words.clean(each.base_url)
    region = f"  {words.clean(each.region)}" if each.region else ""
    private = "  private" if each.private else ""
    if each.outcome != "ok":
        head = Line(((place, "strong"), (region, "dim"), (private, "warn")), mark=("✘", "bad"))
        return [head, Line(((words.clean(each.what), ""),), indent=2)]
    time = f"  answers in {words.milliseconds(each.seconds * 1000)} ms"
    head = Line(
        ((place, "strong"), (region, "dim"), (private, "warn"), (time, "")), mark=("✔", "good")
    )
    said = words.shorten(words.clean(each.text), 60) or "(nothing)"
    by = f", as {words.clean(each.model)}" if each.model else ""
    return [head, Line(((f"It says: {said}{by}", "dim"),), indent=2)]


def _capability(each: CapabilityTried) -> Row:
    mark, role = {
        True: ("✔", "good"), False: ("○", "dim"), None: ("?", "warn"),
    }[each.found]  # fmt: skip
    said = words.clean(each.what)
    if each.registered is not None and each.found is not None and each.found != each.registered:
        said = f"registered as {'there' if each.registered else 'missing'}. {said}".strip()
    marked: Role = role  # pyright: ignore[reportAssignmentType] — the table holds roles
    name = _CAPABILITIES[each.name]
    return Row((Cell(mark, marked), Cell(name, "" if each.found else "dim"), Cell(said, "dim")))


def _bill(check: UpstreamCheck) -> Line:
    if check.price is None:
        said = "What it costs is not known: where a budget applies, it is not asked. Say it with "
        command = f"milepost upstreams add {check.upstream.name} … --replace --price-in --price-out"
        return Line(((said, ""), (command, "code")), mark=("!", "warn"))
    first = next((each for each in check.endpoints if each.outcome == "ok"), None)
    one = ""
    if first is not None and first.tokens.input:
        counted = f"{first.tokens.input:,} tokens read, {first.tokens.output:,} written"
        one = f"One call: {counted}, {usd(first.micro_usd)}. "
    price = f"{_per_million(check.price.input)} in, {_per_million(check.price.output)} out"
    said = f"{one}The whole check cost {usd(check.micro_usd)}, at {price} per million tokens."
    return Line(((said, ""),), mark=("$", "calm"))


def _per_million(micro: int) -> str:
    """USD per million tokens as a price list has it: two decimals, more where it has more."""
    exact = f"{micro / MICRO:,.6f}".rstrip("0")
    whole, _, rest = exact.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


def _host(endpoint: Endpoint) -> str:
    """Where an endpoint is, without its path."""
    place = endpoint.base_url.partition("://")
    return (place[2] or place[0]).split("/")[0].split("?")[0] or endpoint.base_url
