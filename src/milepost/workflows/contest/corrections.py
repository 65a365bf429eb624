"""From what was said of served answers to further training rows, which judge nothing.

The people's own examples are the golden set: what a contest judges on is theirs alone, and no row
that comes of feedback is trained on where its like is judged. So feedback can only help to answer
what is judged, and whoever is wrong on purpose cannot make a bad release look good.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from milepost._base.digest import digest_of
from milepost.data.clean import as_text
from milepost.data.duplicates import group_texts, text_keys
from milepost.data.outlying import written_spread
from milepost.data.read import TaskData
from milepost.data.spans import fits
from milepost.data.split import Sides
from milepost.data.truths import names_of
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.example import Examples, Finding
from milepost.entities.ids import Digest
from milepost.entities.images import images_in
from milepost.entities.kinds import Kind, names_in
from milepost.entities.learning import LEARNED, WAITING
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.models.images.store import Images
from milepost.predictors.preparation import Preparation
from milepost.workflows.context import Context

FEWEST = 20
"""Corrections of one key that may be trained on however few examples the task has."""

NOBODY = "nobody"
"""Stands for the key of what was said on the command line or in Python, without one."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What was said to be right for a text, after all votes.

    Attributes:
        said: The newest feedback that says so.
        text: The input as the task prepares it.
        key: Key of the text; see ``data.duplicates.text_keys``.
        label: The right label.
    """

    said: Feedback
    text: str
    key: str
    label: str

    @property
    def source(self) -> str:
        """Where it comes from, as an example says it."""
        return f"feedback:{self.said.key or NOBODY}"


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """Training rows that came of feedback.

    Attributes:
        examples: Of the task, in groups of its own examples where they are their like.
        findings: How many there are, and what was left out and why.
    """

    examples: Examples
    findings: tuple[Finding, ...]


def feedback_for(context: Context, task: Task) -> tuple[Feedback, ...]:
    """All that was said of a task's answers and could be trained on, newest first."""
    if task.kind == "rank":
        return ()  # that an order is right says of no candidate how relevant it is
    return tuple(said for said in context.ledger.feedback(task.name) if _right(said) is not None)


def taught(said: Sequence[Feedback]) -> tuple[Feedback, ...]:
    """What the workspace's own people taught: contests train on it without being asked to."""
    return tuple(each for each in said if each.channel in {LEARNED, WAITING})


def said_digest(said: Sequence[Feedback]) -> Digest:
    """Digest of what was said: contests that train on the same are the same work."""
    return Digest(digest_of([each.id for each in said]))


def corrections(
    context: Context,
    task: Task,
    data: TaskData,
    sides: Sides,
    said: Sequence[Feedback],
    prepare: Preparation,
) -> Corrections:
    """The training rows that feedback comes to, with everything left out that might do harm.

    Args:
        context: The workspace.
        task: The task.
        data: Its own examples and its test file.
        sides: Where its own examples go.
        said: Feedback, newest first.
        prepare: Prepares an input as the task does.
    """
    own = data.examples.examples
    labels = set(task.labels) or set(names_of(own, task))
    left: Counter[str] = Counter()
    said = of_images_kept(context.images, said, left)
    found = resolved(said, (task.kind, labels), prepare, left)
    if task.kind == "score":
        found = _likely(own, found, left)
    found, groups = _apart(context, data, sides, found, left)
    most = max(FEWEST, int(context.settings.feedback_share * len(_trained(own, sides))))
    found = _capped(found, most, left)
    return Corrections(_examples(own, found, groups), _findings(found, left))


def of_images_kept(
    images: Images, said: Sequence[Feedback], left: Counter[str]
) -> Sequence[Feedback]:
    """What was said of texts, and of images that the workspace has: served ones are not written."""
    kept = [each for each in said if all(map(images.has, images_in(each.text or "")))]
    if len(kept) < len(said):
        left["with an image that nobody kept"] = len(said) - len(kept)
    return kept


def resolved(
    said: Sequence[Feedback],
    known_as: tuple[Kind, set[str]],
    prepare: Preparation,
    left: Counter[str],
) -> list[Correction]:
    """One label per text, newest first.

    Each key has one voice on a text, what it said last; a rating of 1 says that the answer was
    right. What was said without a key, by the workspace's own people, decides; else the label
    with most voices does, and where two have as many, none does.

    Args:
        said: Feedback, newest first.
        known_as: Kind of the task, and the labels that it knows.
        prepare: Prepares an input as the task does.
        left: Counts what is left out, by reason.
    """
    known: list[Feedback] = []
    for each in said:
        if each.text is None:
            left["without an input, because nobody kept it"] += 1
        elif not _known(known_as, _right(each), each.text):
            left["with a label that the task has no more"] += 1
        else:
            known.append(each)
    texts = [text[: prepare.most] for text in prepare([as_text(each.text) for each in known])]
    voices: defaultdict[str, dict[str | None, Correction]] = defaultdict(dict)
    for each, text, key in zip(known, texts, text_keys(texts), strict=True):
        if not text:
            left["without an input, because nobody kept it"] += 1
            continue
        correction = Correction(each, text, key, _right(each) or "")
        if voices[key].setdefault(each.key, correction) is not correction:
            left["said again, or otherwise, by the same key later"] += 1
    chosen: list[Correction] = []
    for votes in voices.values():
        label = _winner(votes)
        agreed = [each for each in votes.values() if each.label == label]
        if agreed:
            chosen.append(agreed[0])
            left["the same as another one of that input"] += len(agreed) - 1
        left["contradicted by as many, or outvoted"] += len(votes) - len(agreed)
    return sorted(chosen, key=lambda each: each.said.id, reverse=True)


def with_corrections(own: Examples, more: Examples) -> Examples:
    """The examples and, after them, the rows that came of feedback."""
    if not len(more):
        return own
    return Examples(
        ids=own.ids + more.ids,
        texts=own.texts + more.texts,
        labels=own.labels + more.labels,
        groups=own.groups + more.groups,
        sources=own.sources + more.sources,
        metadata={name: (*own.metadata[name], *more.metadata[name]) for name in own.metadata},
        duplicates=own.duplicates + more.duplicates,
        owners=own.owners + more.owners,
        times=own.times + more.times,
        originals=own.originals + more.originals,
    )


def _right(said: Feedback) -> str | None:
    """The label that somebody says is right; ``None`` where that is not said."""
    if said.label is not None:
        return said.label
    return said.answered if said.rating is not None and said.rating >= 1.0 else None


def _known(known_as: tuple[Kind, set[str]], right: str | None, text: str) -> bool:
    """Whether what is said to be right is a truth of the task as it is now."""
    kind, labels = known_as
    try:
        if right is None or (kind == "extract" and not fits(right, len(text))):
            return False
        if kind == "score":
            return math.isfinite(float(right))
        return all(name in labels for name in names_in(kind, right))
    except (msgspec.MsgspecError, ValueError):
        return False  # it was said when the task was of another kind


def _winner(votes: Mapping[str | None, Correction]) -> str | None:
    if None in votes:
        return votes[None].label
    ranked = Counter(each.label for each in votes.values()).most_common(2)
    tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    return None if tied else ranked[0][0]


def _likely(own: Examples, found: Sequence[Correction], left: Counter[str]) -> Sequence[Correction]:
    """Those whose score is not far beyond all that the task's own examples have."""
    spread = written_spread(own.labels)
    if spread is None:
        return found
    kept = [each for each in found if not spread.strange(float(each.label))]
    left[f"with a score far from those of the examples, {spread}"] += len(found) - len(kept)
    return kept


def _trained(own: Examples, sides: Sides) -> list[int]:
    return [row for row in sides.rows("train") if own.labels[row] is not None]


def _apart(
    context: Context,
    data: TaskData,
    sides: Sides,
    found: Sequence[Correction],
    left: Counter[str],
) -> tuple[list[Correction], dict[str, tuple[str, str]]]:
    """Those that may be trained on, and the group and near-duplicates of each by its text's key.

    One that is the like of an own example goes where that goes: to the same fold, so that no model
    that was fitted on it answers it. One that is the like of what is held out, or joins what is
    not together, goes nowhere.
    """
    own = data.examples.examples
    test = data.test.examples.texts if data.test is not None else ()
    own_keys = set(text_keys((*own.texts, *test)))
    texts = (*own.texts, *test, *(each.text for each in found))
    near = group_texts(texts, context.settings.near_duplicate).groups
    held = set(near[len(own) : len(own) + len(test)])
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(near[: len(own)]):
        members[name].append(row)
    kept: list[Correction] = []
    groups: dict[str, tuple[str, str]] = {}
    for each, name in zip(found, near[len(own) + len(test) :], strict=True):
        like = members.get(name, [])
        if each.key in own_keys:
            left["about an input that the task's own examples have"] += 1
        elif name in held or any(sides.places[row] != "train" for row in like):
            left["like what is held out to be judged on"] += 1
        elif len({own.groups[row] for row in like}) > 1:
            left["like examples that are not each other's"] += 1
        else:
            kept.append(each)
            first = (own.groups[like[0]], own.duplicates[like[0]]) if like else (name, name)
            groups[each.key] = first
    return kept, groups


def _capped(found: Sequence[Correction], most: int, left: Counter[str]) -> list[Correction]:
    """The newest of each key; what the workspace's own people said has no limit."""
    counts: Counter[str] = Counter()
    kept: list[Correction] = []
    for each in found:
        key = each.said.key
        if key is not None:
            counts[key] += 1
            if counts[key] > most:
                why = f"beyond the {most:,} of one key that may be trained on"
                left[f"{why} (feedback_share in milepost.toml)"] += 1
                continue
        kept.append(each)
    return kept


def _examples(
    own: Examples, found: Sequence[Correction], groups: Mapping[str, tuple[str, str]]
) -> Examples:
    return Examples(
        ids=tuple(each.said.id for each in found),
        texts=tuple(each.text for each in found),
        labels=tuple(each.label for each in found),
        groups=tuple(groups[each.key][0] for each in found),
        sources=tuple(each.source for each in found),
        metadata={name: (None,) * len(found) for name in own.metadata},
        duplicates=tuple(groups[each.key][1] for each in found),
        owners=(None,) * len(found) if own.owners else (),
        times=tuple(each.said.at.timestamp() for each in found) if own.times else (),
        originals=tuple(as_text(each.said.text) for each in found) if own.originals else (),
    )


def _findings(found: Sequence[Correction], left: Counter[str]) -> tuple[Finding, ...]:
    keys = Counter(each.said.key or NOBODY for each in found)
    n = len(found)
    told = [
        Finding(
            check="feedback",
            severity="note",
            count=n,
            summary=f"{number_of(n, 'correction')} from feedback of {number_of(len(keys), 'key')} "
            f"{verb(n, 'is', 'are')} trained on, and {verb(n, 'judges', 'judge')} nothing."
            if n
            else "There is no feedback to train on.",
            examples=tuple(
                f"{each.source}: {quote(each.text)} is {each.label!r}" for each in found[:SHOWN]
            ),
        )
    ]
    reasons = {why: count for why, count in left.most_common() if count}
    if reasons:
        total = sum(reasons.values())
        told.append(
            Finding(
                check="feedback_left_out",
                severity="warning",
                count=total,
                summary=f"{number_of(total, 'piece')} of feedback "
                f"{verb(total, 'is', 'are')} not trained on.",
                examples=tuple(f"{count:,} {why}" for why, count in reasons.items()),
            )
        )
    return tuple(told)


def noted(trained: int, own: int) -> tuple[str, ...]:
    """What a scorecard says of the rows that came of feedback; nothing where there are none."""
    more = trained - own
    if not more:
        return ()
    return (
        f"Trained on {number_of(more, 'correction')} from feedback besides "
        f"{number_of(own, 'example')} of the task's own; only the latter are judged.",
    )
