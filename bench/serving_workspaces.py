"""Workspaces with many released tasks, made in seconds: heads fitted, no contests run.

Each task tells ten of clinc150's 150 intents apart, drawn for it. The releases are made through
the ledger, as a contest makes them, with the check that a release needs to be served on INT8, made
on texts that the head was not fitted to; intents for which it fails are drawn again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common import request
from bench.serving_heads import compared, head, student

if TYPE_CHECKING:
    from milepost.models.export import Variant
    from milepost.predictors.base import Predictor
    from milepost.workflows.context import Context

GUARDS = 5


@dataclass(frozen=True, slots=True)
class Group:
    """Some tasks that are alike: ``NAME-0`` to ``NAME-(count-1)``.

    Attributes:
        name: Begins their names.
        count: How many.
        fields: Further fields of their task files.
        kind: ``head``, or ``static`` for a student that skips the encoder.
    """

    name: str
    count: int
    fields: Mapping[str, object]
    kind: str = "head"

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{number}" for number in range(self.count))


def plain(count: int) -> Group:
    """Tasks with the settings that come with milepost."""
    return Group("plain", count, {})


def variants(each: int) -> tuple[Group, ...]:
    """What is compared within one server: recording, guards, students; so many tasks of each."""
    guards = [{"task": name, "labels": ["trips"], "at_least": 0.99} for name in guarding().tasks]
    return (
        Group("recorded", each, {}),
        Group("unrecorded", each, {"recording": {"share": 0.0}}),
        Group("strict", each, {"recording": {"strict": True}}),
        guarding(),
        Group("guarded", each, {"guards": guards}),
        Group("student", each, {}, kind="static"),
    )


def guarding() -> Group:
    """The tasks whose verdict is asked for on every input of the guarded ones."""
    return Group("guard", GUARDS, {})


def make(root: Path, groups: Sequence[Group], variant: "Variant" = "int8") -> Path:
    """A new workspace whose tasks are all in production, to be served on a variant."""
    from milepost._base.settings import Settings
    from milepost.entities.configuration import Configuration
    from milepost.workflows.opening import creating

    with creating(root, Configuration(settings=Settings(serve_variant=variant))) as context:
        for group in groups:
            drawn = fitted(group)
            for name in group.tasks:
                _release(context, group, name, next(drawn))
        context.ledger.close()
    return root


@dataclass(frozen=True, slots=True)
class Fitted:
    """A predictor, and on how many of how many texts its answers on INT8 are those on fp32."""

    predictor: "Predictor"
    texts: int = 0
    agree: int = 0


def fitted(group: Group) -> Iterator[Fitted]:
    """One predictor after the other, each fit to be served on INT8 where it reads vectors."""
    from milepost.workflows.serving.fidelity import passes

    for seed in count():
        if group.kind == "static":
            yield Fitted(student(seed))
            continue
        predictor = head(seed, guards=group.name == "guard")
        texts, agree = compared(predictor)
        if passes(texts, agree, (0, 0, 0)):
            yield Fitted(predictor, texts, agree)


def _release(context: "Context", group: Group, name: str, found: Fitted) -> None:
    """One task with its file, its release, and the check that the release needs."""
    import msgspec

    from milepost.entities.serving import Fidelity
    from milepost.entities.task import Task
    from milepost.testing.releases import add_task, release

    labels = dict.fromkeys(found.predictor.labels, "")
    add_task(context, msgspec.convert({"name": name, "labels": labels, **group.fields}, Task))
    number = release(context, name, found.predictor)
    if found.predictor.uses == "vectors":
        checked = Fidelity(
            bundle=context.ledger.release(name, number).bundle,
            encoder=context.bare_encoder().digest,
            variant="int8",
            reference="fp32",
            n=found.texts,
            agree=found.agree,
            passed=True,
            at=context.clock(),
        )
        context.ledger.add_fidelity(checked, actor="bench")


def main() -> None:
    for asked in request()["workspaces"]:
        groups = [plain(asked["plain"])] if asked["plain"] else variants(asked["each"])
        make(Path(asked["root"]), groups, asked["variant"])


if __name__ == "__main__":
    main()
