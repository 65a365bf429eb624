"""Model cards: the records of a release in, Markdown with Hugging Face metadata out.

A pure function. Knows no store and no clock: the same records give the same card. What no record
holds is left blank and marked for a person, never filled in.
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING

from milepost.entities.asked import Asked, Part
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.estimate import Estimate
from milepost.entities.example import Dataset
from milepost.entities.measures import measure_kind
from milepost.entities.money import MICRO, usd
from milepost.entities.release import Approval, Manifest, Release
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Task
from milepost.entities.upstream import Upstream
from milepost.evaluation.promises import told
from milepost.releases.card_kinds import (
    NO_PIPELINE,
    exportable,
    pipeline,
    python_example,
    typed_example,
    what_it_is,
)
from milepost.releases.card_limits import limits
from milepost.releases.card_words import LICENSE, MARKER, SECTIONS, PersonWords

if TYPE_CHECKING:
    from jinja2 import Template

METRICS: dict[str, tuple[str, dict[str, str]]] = {
    "macro_f1": ("f1", {"average": "macro"}),
    "micro_f1": ("f1", {"average": "micro"}),
    "weighted_f1": ("f1", {"average": "weighted"}),
    "mcc": ("matthews_correlation", {}),
    "auroc": ("roc_auc", {}),
    "brier": ("brier_score", {}),
}
"""Metrics that the Hugging Face Hub calls otherwise: its id and arguments."""

SPLITS = {"holdout": "holdout", "test_file": "test", "cross_fitted": "cross-fitted"}
CONFUSIONS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecords:
    """All that a card is written from.

    Attributes:
        release: The release.
        contest: The contest that it came from.
        candidate: Its candidate, with the certified scorecard.
        task: The task as it was then.
        task_number: Number of that version of the task.
        manifest: What its bundle is made of.
        datasets: The snapshots that it was trained and certified on.
        parts: What it asks of language models, rung by rung; nothing of one that asks nobody.
        watts: Power of a busy processor core that a person stated; ``None`` for nothing.
        approvals: Who has approved it.
        approvals_needed: How many approvals it needs.
        base_model: Hub id of the encoder; ``None`` where it is not known or there is none.
        regime: How its numbers were certified, as a sentence.
        person: What a person has written.
        place: Where a person writes, such as ``cards/route.md``.
    """

    release: Release
    contest: Contest
    candidate: Candidate
    task: Task
    task_number: int
    manifest: Manifest
    datasets: tuple[Dataset, ...] = ()
    parts: tuple[Part, ...] = ()
    watts: float | None = None
    approvals: tuple[Approval, ...] = ()
    approvals_needed: int = 0
    base_model: str | None = None
    regime: str = ""
    person: PersonWords = field(default_factory=PersonWords)
    place: str = ""

    @property
    def asks(self) -> bool:
        """Whether answers are asked of language models."""
        return any(part.upstreams for part in self.parts) or bool(self.candidate.asked)

    @property
    def models(self) -> tuple[Asked, ...]:
        """Language models that it asks: as it asked them, or, of a rung, as they are registered."""
        told = {asked.upstream: asked for asked in self.candidate.asked}
        for part in self.parts:
            for version in part.upstreams:
                if version.name not in told and version.upstream is not None:
                    told[version.name] = _registered(version.upstream, self.contest.started.date())
        return tuple(told.values())

    def energy(self, cpu_seconds: float) -> float:
        """What so many CPU seconds take at the stated power, in Wh; 0 where none is stated."""
        return cpu_seconds * (self.watts or 0.0) / 3600.0

    @property
    def scorecard(self) -> Scorecard:
        """The certified numbers.

        Raises:
            InputError: If the candidate has none, so that it cannot have been released.
        """
        if self.candidate.scorecard is None:
            raise InputError(f"the candidate {self.candidate.id!r} has no scorecard.")
        return self.candidate.scorecard


def _registered(upstream: Upstream, day: date) -> Asked:
    return Asked(
        upstream=upstream.name,
        model=upstream.model,
        price=upstream.price(day),
        licence=upstream.licence,
        terms=upstream.terms,
    )


def render_card(records: CardRecords) -> str:
    """The model card as Markdown with its metadata as YAML on top."""
    card = records.scorecard
    body = _template().render(
        r=records,
        card=card,
        labels=records.manifest.labels,
        what=what_it_is(records.task, len(records.manifest.labels)),
        typed=typed_example(records.task),
        given=python_example(records.task) if exportable(records.task) else "",
        descriptions=records.task.labels,
        limits=limits(card),
        promise=told(card.cascade) if card.cascade is not None else (),
        sections=SECTIONS,
        license=LICENSE,
        marker=MARKER,
        confusions=card.confusions[:CONFUSIONS_SHOWN],
    )
    return f"---\n{_yaml(metadata(records))}---\n{body}"


def metadata(records: CardRecords) -> dict[str, object]:
    """The card's metadata as the Hugging Face Hub reads it (its ``modelcard.md``).

    Values are the stored ones in full. Fields that no record and no person knows are left out.
    """
    written = dict(records.person.metadata)
    tags = written.pop("tags", [])
    named = pipeline(records.task)
    known: dict[str, object] = {
        **written,
        "library_name": "milepost",
        **({} if named is None else {"pipeline_tag": named}),
        "tags": ["milepost", records.release.strategy, *(tags if isinstance(tags, list) else [])],
    }
    if records.base_model is not None:
        known["base_model"] = records.base_model
    card = records.scorecard
    known["metrics"] = list(dict.fromkeys(METRICS.get(name, (name,))[0] for name in card.metrics))
    known["model-index"] = [
        {
            "name": f"{records.release.task}-{records.release.number}",
            "results": [
                {
                    "task": {"type": named or NO_PIPELINE, "name": records.release.task},
                    "dataset": {
                        "type": records.release.task,
                        "name": f"{records.release.task}, {SPLITS[card.regime]}",
                        "split": SPLITS[card.regime],
                        "revision": records.contest.holdout or records.contest.examples,
                    },
                    "metrics": [_result(name, each) for name, each in card.metrics.items()],
                }
            ],
        }
    ]
    return known


def _result(name: str, estimate: Estimate) -> dict[str, object]:
    identity, arguments = METRICS.get(name, (name, {}))
    interval = {"low": estimate.low, "high": estimate.high, "n": estimate.n}
    return {
        "type": identity,
        "value": estimate.value,
        "name": metric(name),
        "args": {**arguments, **interval, "method": estimate.method},
    }


def _yaml(value: object) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    out = StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def metric(name: str) -> str:
    """A metric's name in words; of one that this version does not know, only its name."""
    try:
        return measure_kind(name).words
    except UnknownNameError:
        return name.replace("_", " ")


def share(value: float | None) -> str:
    """A metric with three decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """A difference with its sign and three decimals; a dash where there is none."""
    return "–" if value is None else f"{value:+.3f}"


def interval(estimate: Estimate | None) -> str:
    """A metric with its interval; a dash where there is none."""
    if estimate is None:
        return "–"
    return f"{share(estimate.value)} [{share(estimate.low)}, {share(estimate.high)}]"


def chance(value: float | None) -> str:
    """A p-value with three decimals, never zero; a dash where there is none."""
    return "&lt; 0.001" if value is not None and value < 0.0005 else share(value)


def method(name: str) -> str:
    """How an interval was made, in words."""
    return sentence(name.replace("_", " "))


def figure(value: float) -> str:
    """A measured quantity with three significant digits, never in powers of ten."""
    return format(Decimal(f"{value:.3g}"), "f")


def price(asked: Asked) -> str:
    """What tokens in and out of a language model cost, and since when."""
    found = asked.price
    if found is None:
        return "not known"
    return f"{found.input / MICRO:g} in, {found.output / MICRO:g} out, since {found.since}"


def plain(text: str) -> str:
    """A text of a user as one line of Markdown that means nothing but itself."""
    line = " ".join(text.split())
    for mark in "\\`*_[]#~":
        line = line.replace(mark, f"\\{mark}")
    return sentence(line)


def sentence(text: str) -> str:
    """A sentence of milepost's own as Markdown that fits a table."""
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


@cache
def _template() -> "Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("milepost.releases"),
        autoescape=False,  # noqa: S701 — Markdown; texts of users pass through `plain`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    texts = (method, figure, plain, sentence, price, usd)
    for formatter in (metric, share, signed, interval, chance, *texts):
        environment.filters[formatter.__name__] = formatter
    return environment.get_template("card.md.j2")
