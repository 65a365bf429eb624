"""What learning a label and forgetting examples came to, in words."""

from milepost.entities.learning import Forgotten, HeadUpdate, Learned, TopLabel
from milepost.reports import words
from milepost.reports.document import BLANK, Bullets, Document, Line, Part, sentence

_PRODUCTION = {
    "none": "Nothing is in production.",
    "untouched": "Release {release}, which is in production, learned from none of them.",
    "updated": "Release {release}, which is in production, has forgotten them already: its head "
    "answers as if it had been fitted without them.",
    "to be replaced": "Release {release}, which is in production, learned from them and answers as "
    "before until a contest replaces it.",
}

_WOULD = (
    "Release {release}, which is in production, would forget them at once: its head would answer "
    "as if it had been fitted without them."
)


def learned_document(came: Learned) -> Document:
    """What one label came to: the answer before and now, or why it waits."""
    parts: list[Part] = []
    if came.at_once and came.feedback is None:
        parts.append(_good(f"{came.task} knows that already; nothing is to be learned."))
    elif came.at_once:
        parts.append(
            _good(f"{came.task} answers {_answer(came.after)} now, was {_answer(came.before)}.")
        )
        parts.append(sentence(_provisional(came.task, came.release or 0, came.learned), "dim"))
    else:
        parts.append(Line((("Kept; answers do not follow it yet.", ""),), mark=("○", "dim")))
        parts.append(sentence(came.why))
        parts.append(sentence(f"`milepost improve {came.task}` trains on it.", "dim"))
    return Document(tuple(parts))


def updated_words(update: HeadUpdate) -> str:
    """What a release learned and forgot since it was made, for under its answers."""
    return (
        f"Release {update.release} with {words.count(update.learned, 'label')} learned and "
        f"{words.count(update.forgotten, 'example')} forgotten since; provisional until "
        f"`milepost improve {update.task}`."
    )


def forgotten_document(done: Forgotten) -> Document:
    """What was forgotten, where, what it means for production, and what is left."""
    rows = words.count(done.examples, "example")
    past = f" and {words.count(done.past)} of earlier data" if done.past else ""
    would = "would be" if done.dry_run else "is" if done.examples + done.past == 1 else "are"
    parts: list[Part] = [_good(f"{rows}{past} of {done.task} {would} forgotten.")]
    gone = [f"{each.path}: {words.count(each.rows, 'row')}" for each in done.files]
    if done.snapshots:
        blanked = sum(each.rows for each in done.snapshots)
        snapshots = words.count(len(done.snapshots), "stored snapshot")
        gone.append(f"{snapshots}: {words.count(blanked, 'row')} without text, metadata and owner")
    if done.feedback:
        gone.append(f"feedback and taught labels: {words.count(done.feedback)}")
    if done.vectors:
        gone.append(f"cached vectors: {words.count(done.vectors)}")
    if gone:
        parts += [BLANK, sentence("To go:" if done.dry_run else "Gone:", "strong")]
        parts.append(Bullets(tuple(gone)))
    becomes = (
        _WOULD if done.dry_run and done.production == "updated" else _PRODUCTION[done.production]
    )
    parts += [BLANK, sentence(becomes.format(release=done.release))]
    if done.releases:
        numbers = ", ".join(map(str, done.releases))
        parts.append(sentence(f"Releases that learned from them: {numbers}.", "dim"))
    parts += [BLANK, sentence("Not gone:", "strong"), Bullets(done.left)]
    return Document(tuple(parts))


def _good(text: str) -> Line:
    return Line(((text, ""),), mark=("✔", "good"))


def _answer(answer: TopLabel | None) -> str:
    if answer is None:
        return "nothing"
    sure = "" if answer.confidence is None else f" ({answer.confidence:.2f})"
    return f"`{answer.label}`{sure}"


def _provisional(task: str, release: int, learned: int) -> str:
    return (
        f"Provisional: release {release} with {words.count(learned, 'label')} learned since its "
        f"contest, whose scorecard was measured without. `milepost improve {task}` judges."
    )
