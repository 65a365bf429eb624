"""The quality report: what a person should know about the data before trusting a model on it.

Pure functions of examples; every finding is one sentence with its number, and up to five examples.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.data.duplicates import text_keys
from milepost.data.labels import label_typos
from milepost.data.wording import (
    SHOWN,
    apart,
    listing,
    number_of,
    quote,
    shorten,
    verb,
    worst_first,
)
from milepost.entities.example import Examples, Finding, QualityReport, Scores
from milepost.entities.images import called
from milepost.entities.kinds import KINDS, Kind, truths

_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TELLING = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(f"[\u00c2-\u00f4][{_TELLING}]{{1,3}}")
_FEW = 5
_SKEWED = 10
"""Largest over smallest number of examples per label from which imbalance is noted."""
_LONG = 10
"""Times the median length from which a text counts as unusually long."""
_LONG_CHARS = 500
_FAR = 1.0
"""Standard deviations of all scores by which those of the same text differ at least to be told."""

Differ = Callable[[Sequence[int]], bool]
"""Whether the truths of some rows are not the same."""


def profile(
    examples: Examples,
    *,
    rows: int,
    findings: Sequence[Finding] = (),
    declared: Sequence[str] = (),
    counts: Counter[str] | None = None,
    kind: Kind = "classify",
) -> QualityReport:
    """The quality report of examples that have their groups.

    Args:
        examples: The rows kept.
        rows: Rows read, including those left out.
        findings: What reading them, or splitting them, has already found.
        declared: Labels of the task; they are never called typos.
        counts: Rows that name each label; ``None`` where a row has one at most.
        kind: Kind of the task.
    """
    scores = _scores(examples) if kind == "score" else msgspec.UNSET
    if counts is None:
        counts = Counter(label for label in examples.labels if label is not None)
    found = [
        *findings,
        *_duplicates(examples),
        *_conflicts(examples, scores),
        *(_about_labels(counts, declared) if KINDS[kind].labelled else ()),
        *_encoding_faults(examples),
        *_lengths(examples),
    ]
    return QualityReport(
        rows=rows,
        used=len(examples),
        labelled=len(examples.labelled_rows),
        label_counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        findings=worst_first(found),
        scores=scores,
    )


def _scores(examples: Examples) -> Scores | msgspec.UnsetType:
    """What the scores of examples are like; absent where there are none."""
    found = truths("score", [each for each in examples.labels if each is not None], ())
    if not len(found):
        return msgspec.UNSET
    return Scores(
        low=float(found.min()),
        high=float(found.max()),
        mean=float(found.mean()),
        spread=float(found.std()),
        levels=len(np.unique(found)),
    )


def _about_labels(counts: Counter[str], declared: Sequence[str]) -> list[Finding]:
    return [*label_typos(counts, declared), *_rare(counts, declared), *_imbalance(counts)]


def _finding(
    check: str, severity: str, count: int, summary: str, examples: Sequence[str] = ()
) -> list[Finding]:
    return [
        Finding(
            check=check,
            severity=severity,
            count=count,
            summary=summary,
            examples=tuple(examples[:SHOWN]),
        )
    ]


def _duplicates(examples: Examples) -> list[Finding]:
    found: list[Finding] = []
    same: defaultdict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(examples.texts):
        same[text].append(i)
    repeated = sorted((r for r in same.values() if len(r) > 1), key=lambda r: (-len(r), r[0]))
    kind = called(examples.texts)
    if repeated:
        surplus = sum(len(r) - 1 for r in repeated)
        alike = "word for word" if kind == "text" else "to the byte"
        found += _finding(
            "exact_duplicates",
            "note",
            surplus,
            f"{number_of(surplus, 'row')} {verb(surplus, 'repeats', 'repeat')} the {kind} of "
            f"an earlier row {alike} ({number_of(len(repeated), f'different {kind}')}).",
            [f"{len(r)} times, {examples.sources[r[0]]}: {quote(examples.texts[r[0]])}"
             for r in repeated[:SHOWN]],
        )  # fmt: skip
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for rows in same.values():
        groups[examples.duplicates[rows[0]]].append(rows[0])
    near = sorted((r for r in groups.values() if len(r) > 1), key=lambda r: (-len(r), r[0]))
    if near:
        texts = sum(len(r) for r in near)
        found += _finding(
            "near_duplicates",
            "note",
            texts,
            f"{number_of(texts, f'different {kind}')} {verb(texts, 'is', 'are')} almost the same "
            f"as another and {verb(texts, 'forms', 'form')} {number_of(len(near), 'group')}; a "
            "group is never split between learning and measuring.",
            [f"{len(r)} {kind}s: {_side_by_side(examples, r[0], r[1])}" for r in near[:SHOWN]],
        )
    return found


def _side_by_side(examples: Examples, one: int, other: int) -> str:
    """Two inputs that are almost equal: where texts part, and where images are."""
    if called(examples.texts) == "text":
        return apart(examples.texts[one], examples.texts[other])
    return " ~ ".join(f"{quote(examples.texts[i])} ({examples.sources[i]})" for i in (one, other))


def _differing(
    examples: Examples, scores: Scores | msgspec.UnsetType
) -> tuple[Differ, dict[str, str]]:
    """When truths of the same text are not the same, and words for it."""
    if isinstance(scores, msgspec.UnsetType):
        return lambda rows: len({examples.labels[i] for i in rows}) > 1, {
            "check": "conflicting_labels",
            "carried": "different labels",
            "why": "at least one label of each is wrong or the labels overlap",
        }
    far = _FAR * scores.spread
    return lambda rows: float(np.ptp(_said(examples, rows))) > far, {
        "check": "conflicting_scores",
        "carried": f"scores that differ by more than the spread of all, {far:.3g},",
        "why": "at least one score of each is wrong, or people do not agree",
    }


def _said(examples: Examples, rows: Sequence[int]) -> NDArray[np.float64]:
    return truths("score", [examples.labels[i] for i in rows], ())


def _conflicts(examples: Examples, scores: Scores | msgspec.UnsetType) -> list[Finding]:
    differ, words = _differing(examples, scores)
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    by_group: defaultdict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(text_keys(examples.texts)):
        if examples.labels[i] is not None:
            by_key[key].append(i)
            by_group[examples.duplicates[i]].append(i)
    same = _disagreeing(by_key, differ)
    settled = {examples.duplicates[rows[0]] for rows in same}
    near = [r for r in _disagreeing(by_group, differ) if examples.duplicates[r[0]] not in settled]
    found: list[Finding] = []
    kind = called(examples.texts)
    message = "message" if kind == "text" else kind
    if same:
        rows = sum(len(r) for r in same)
        found += _finding(
            words["check"],
            "warning",
            rows,
            f"{number_of(len(same), message)} {verb(len(same), 'carries', 'carry')} "
            f"{words['carried']} in different rows ({number_of(rows, 'row')} in all); "
            f"{words['why']}.",
            [_conflict(examples, r) for r in same[:SHOWN]],
        )
    if near:
        rows = sum(len(r) for r in near)
        found += _finding(
            "conflicting_near_duplicates",
            "note",
            rows,
            f"{number_of(len(near), 'group')} of almost equal {message}s "
            f"{verb(len(near), 'carries', 'carry')} {words['carried']} "
            f"({number_of(rows, 'row')}); check whether the small difference is meant to decide.",
            [_conflict(examples, r) for r in near[:SHOWN]],
        )
    return found


def _disagreeing(sets: defaultdict[str, list[int]], differ: Differ) -> list[list[int]]:
    """Sets of rows whose truths are not the same; most rows first."""
    found = [r for r in sets.values() if len(r) > 1 and differ(r)]
    return sorted(found, key=lambda r: (-len(r), r[0]))


def _conflict(examples: Examples, rows: Sequence[int]) -> str:
    counts = Counter(str(examples.labels[i]) for i in rows)
    labels = ", ".join(f"{shorten(c, 30)} × {n}" for c, n in counts.most_common(4))
    first: dict[str | None, str] = {}
    for i in rows:
        first.setdefault(examples.labels[i], examples.sources[i])
    return f"{quote(examples.texts[rows[0]], 60)}: {labels} ({', '.join(list(first.values())[:2])})"


def _rare(counts: Counter[str], declared: Sequence[str]) -> list[Finding]:
    found: list[Finding] = []
    missing = [label for label in declared if label not in counts]
    if missing:
        n = len(missing)
        found += _finding(
            "labels_without_examples",
            "warning",
            n,
            f"{number_of(n, 'label')} of the task {verb(n, 'has', 'have')} no example: "
            f"{listing(missing)}.",
        )
    single = sorted(label for label, n in counts.items() if n == 1)
    if single:
        n = len(single)
        found += _finding(
            "labels_with_one_example",
            "warning",
            n,
            f"{number_of(n, 'label')} {verb(n, 'has', 'have')} a single example: "
            f"{listing(single)}; with one example a label cannot be both learned and measured.",
        )
    few = sorted(
        (label for label, n in counts.items() if 1 < n < _FEW), key=lambda c: (counts[c], c)
    )
    if few:
        n = len(few)
        found += _finding(
            "rare_labels",
            "note",
            n,
            f"{number_of(n, 'label')} {verb(n, 'has', 'have')} fewer than {_FEW} examples: "
            f"{listing(few)}.",
        )
    return found


def _imbalance(counts: Counter[str]) -> list[Finding]:
    if len(counts) < 2:
        return []
    ranked = sorted(counts, key=lambda c: (-counts[c], c))
    most, least = ranked[0], ranked[-1]
    if counts[most] < _SKEWED * counts[least]:
        return []
    share = counts[most] / counts.total()
    return _finding(
        "imbalance",
        "note",
        counts[most],
        f"The labels are unevenly spread: '{shorten(most, 40)}' has {counts[most]:,} examples "
        f"({100 * share:.0f} % of all), '{shorten(least, 40)}' has {counts[least]:,}; accuracy "
        "alone would hide mistakes on the rare ones.",
    )


def _encoding_faults(examples: Examples) -> list[Finding]:
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(examples.texts):
        if text.isascii():
            if _CONTROL.search(text):
                seen["control"].append(i)
            continue
        if _is_mojibake(text):
            seen["mojibake"].append(i)
        elif _CONTROL.search(text):
            seen["control"].append(i)
        if "\ufffd" in text:
            seen["replacement"].append(i)
    sentences = {
        "mojibake": "{n} {show} wrongly decoded letters, such as 'Ã¼' for 'ü'.",
        "replacement": "{n} {hold} the replacement character '\ufffd', so a letter was lost.",
        "control": "{n} {hold} invisible control characters.",
    }
    found: list[Finding] = []
    for what, sentence in sentences.items():
        rows = seen[what]
        if rows:
            n = len(rows)
            summary = sentence.format(
                n=number_of(n, "text"), show=verb(n, "shows", "show"), hold=verb(n, "holds", "hold")
            )
            places = [f"{examples.sources[i]}: {quote(examples.texts[i])}" for i in rows[:SHOWN]]
            found += _finding(f"encoding_{what}", "warning", n, summary, places)
    return found


def _is_mojibake(text: str) -> bool:
    """Whether some run of characters, taken as single bytes, is UTF-8 of another character."""
    for match in _MOJIBAKE.finditer(text):
        for name in ("cp1252", "latin-1"):
            try:
                run = match.group().encode(name)
            except UnicodeEncodeError:
                continue
            for end in range(2, len(run) + 1):
                try:
                    run[:end].decode("utf-8")
                except UnicodeDecodeError:
                    continue
                return True
    return False


def _lengths(examples: Examples) -> list[Finding]:
    if not len(examples):
        return []
    lengths = np.asarray([len(text) for text in examples.texts])
    median = float(np.median(lengths))
    limit = max(_LONG * median, _LONG_CHARS)
    rows = np.flatnonzero(lengths > limit)
    if not len(rows):
        return []
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    n = len(rows)
    return _finding(
        "length_outliers",
        "note",
        n,
        f"{number_of(n, 'text')} {verb(n, 'is', 'are')} more than {_LONG} times longer than usual "
        f"(half of all texts have at most {median:,.0f} characters, the longest has "
        f"{int(lengths.max()):,}); check that {verb(n, 'it is', 'they are')} single messages.",
        [
            f"{examples.sources[i]}: {int(lengths[i]):,} characters, {quote(examples.texts[i])}"
            for i in rows[:SHOWN].tolist()
        ],
    )
