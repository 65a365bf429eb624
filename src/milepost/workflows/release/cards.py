"""Model cards: the records of a release gathered from the ledger, and what a person wrote.

A card is made anew each time, also for old releases: the records that it is written from never
change, so a stored copy could only go out of date with what a person writes later.
"""

from dataclasses import dataclass
from pathlib import Path

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import Dataset
from milepost.entities.release import Manifest, Release
from milepost.models.embedded import EMBEDDED_NAME
from milepost.releases.card_words import PersonWords, read_words
from milepost.releases.cards import CardRecords, render_card
from milepost.reports import words
from milepost.workflows.context import Context
from milepost.workflows.release.asking import Parts
from milepost.workflows.release.bundles import nothing_live
from milepost.workflows.release.graph import bundle_manifest
from milepost.workflows.tasks.files import write_whole

FOLDER = "cards"
PRODUCTION = "production"
EMBEDDED_BASE = "sentence-transformers/all-MiniLM-L6-v2"
"""Hub id of the model whose bytes the embedded encoder is pinned to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A release's model card.

    Attributes:
        name: Which release it is of, such as ``route#3``.
        text: Markdown with metadata.
        blanks: What is left for a person to write.
        place: File of the workspace in which a person writes.
    """

    name: str
    text: str
    blanks: tuple[str, ...]
    place: str

    def write(self, output: str | Path) -> Path:
        """Write it to a file, whole or not at all.

        Raises:
            WorkspaceError: If the place cannot be written.
        """
        write_whole(Path(output), self.text.encode())
        return Path(output)


def card(context: Context, subject: str, number: int | None = None) -> ModelCard:
    """The card of a release.

    Args:
        context: The workspace.
        subject: A task, a channel (``route@production``) or a release (``route#3``).
        number: Number of the release; ``None`` takes what the subject names, else production.

    Raises:
        UnknownNameError: If there is no such task, channel or release.
        WorkspaceError: If the task has no release yet.
        InputError: If what a person wrote cannot be used.
    """
    release = _release(context, subject, number)
    contest = context.ledger.contest(release.contest)
    candidate = next(each for each in contest.candidates if each.id == release.candidate)
    versions = context.ledger.task_versions(release.task)
    version = next(each for each in versions if each.digest == contest.task_version)
    manifest = bundle_manifest(context, release.bundle)
    person, place = _person(context, release.task)
    state = context.ledger.approvals(release.task, release.number)
    records = CardRecords(
        release=release,
        contest=contest,
        candidate=candidate,
        task=version.task,
        task_number=version.number,
        manifest=manifest,
        datasets=_datasets(context, release.task, contest.examples, contest.holdout),
        parts=Parts(context).of(contest, candidate),
        watts=context.settings.cpu_watts,
        approvals=state.approvals,
        approvals_needed=state.needed,
        base_model=_base_model(manifest, candidate.scorecard and candidate.scorecard.provenance),
        regime=words.regime_sentence(candidate.scorecard) if candidate.scorecard else "",
        person=person,
        place=place,
    )
    name = f"{release.task}#{release.number}"
    return ModelCard(name=name, text=render_card(records), blanks=person.blanks, place=place)


def _release(context: Context, subject: str, number: int | None) -> Release:
    task, mark, rest = subject.partition("#" if "#" in subject else "@")
    if mark == "#" and number is None:
        if not (rest.isascii() and rest.isdecimal()):
            raise UnknownNameError(
                f"release of {task!r}", rest, [str(r.number) for r in context.ledger.releases(task)]
            )
        number = int(rest)
    elif mark == "#":
        raise InputError(
            f"{subject!r} names a release already.", where="--release", advice="Leave it out."
        )
    if number is not None:
        return context.ledger.release(task, number)
    channel = context.ledger.channel(task, rest or PRODUCTION)
    if channel is not None:
        return context.ledger.release(task, channel.release)
    if rest:
        names = [each.name for each in context.ledger.channels(task)]
        raise UnknownNameError(f"channel of {task!r}", rest, names)
    raise nothing_live(context, task)


def _datasets(
    context: Context, task: str, examples: str, holdout: str | None
) -> tuple[Dataset, ...]:
    """The newest record of each snapshot; a holdout drawn from the examples has none."""
    found = [context.ledger.dataset_records(examples, task, "examples")]
    found.append(context.ledger.dataset_records(holdout, task, "test") if holdout else ())
    return tuple(records[-1] for records in found if records)


def _base_model(manifest: Manifest, provenance: dict[str, str] | None) -> str | None:
    """Hub id of the encoder, where its name is one or it is the embedded one."""
    if manifest.encoder is None or not provenance:
        return None
    name = provenance.get("encoder_name", "")
    if name == EMBEDDED_NAME:
        return EMBEDDED_BASE
    # A folder is no hub id, even where its path has one slash.
    return name if name.count("/") == 1 and not name.startswith((".", "/")) else None


def _person(context: Context, task: str) -> tuple[PersonWords, str]:
    """What a person wrote about a task, and where."""
    place = f"{FOLDER}/{task}.md"
    path = context.root / FOLDER / f"{task}.md"
    try:
        return read_words(path.read_text(encoding="utf-8-sig"), place), place
    except FileNotFoundError:
        return PersonWords(), place
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the file cannot be read ({error}).", where=place) from error
