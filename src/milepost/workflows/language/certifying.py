"""Certifies answers to similar questions for a task: asks, tries, and keeps what can be promised.

Asked is what the release in production asks, about texts that stand for what will be asked: those
that it was asked lately where they were kept, else the task's examples.
"""

from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec

from milepost._base.digest import digest_of
from milepost.contests.asking import by_row
from milepost.entities.errors import InputError, UpstreamError
from milepost.entities.ids import Digest
from milepost.entities.language import Completion
from milepost.entities.money import MICRO
from milepost.entities.prediction import Predictions
from milepost.entities.prompts import SimilarRule
from milepost.entities.similar import SimilarAnswers, SimilarFound, SimilarState
from milepost.entities.task import Task
from milepost.models.language.asking import Answered, Terms
from milepost.models.language.caching.semantic import Vectors, frame, model_digest
from milepost.predictors.asking import Asking, Question
from milepost.predictors.base import Batch
from milepost.predictors.cascade import CascadePredictor
from milepost.workflows.contest.asking.money import within
from milepost.workflows.context import Context
from milepost.workflows.language.banks import lapsed, unit
from milepost.workflows.language.opening import Speakers, speakers
from milepost.workflows.language.similar import Promised, certify
from milepost.workflows.release.bundles import Answerer, find_answerer, inputs_for
from milepost.workflows.serving.recording import open_sink
from milepost.workflows.tasks.current import current_task

MOST = 4000
"""Most texts that are asked about; half of them become the bank."""

FEWEST = 120
"""Fewest questions of one prompt: with a third of their half set aside nothing of use could be
promised from fewer."""

ENOUGH = 600
"""Kept inputs of served answers from which on these are taken, and not the examples."""

_PAGE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What was asked in one frame, and what was answered."""

    about: list[int] = field(default_factory=list[int])
    answers: list[Completion] = field(default_factory=list[Completion])
    upstream: str = ""


def certify_similar(
    context: Context, name: str, *, source: Path | None = None, budget_usd: float = 0.0
) -> SimilarFound:
    """Certify what the task file's ``language.similar`` asks for, in the place of what was before.

    Args:
        context: The workspace.
        name: The task.
        source: File of texts to ask about; ``None`` takes kept inputs of served answers, else the
            examples.
        budget_usd: The most that may be spent; what was asked before costs nothing.

    Raises:
        UnknownNameError: If there is no such task, or it asks an upstream that is not registered.
        WorkspaceError: If nothing is in production.
        InputError: If the task file asks for no such answers, its release asks no language model,
            there are too few texts, or it would cost more.
    """
    task = current_task(context, name)
    rule = task.similar_rule
    if rule is None:
        raise InputError(
            "the task file does not ask for answers to similar questions.",
            where=f"tasks/{name}.yaml: language.similar",
            advice="Say what is to be promised: `language: {similar: {at_most_wrong: 0.05}}`.",
        )
    answerer = find_answerer(context, name, None, None)
    if not answerer.predictor.upstreams:
        raise InputError(
            f"release {answerer.release} of {name} asks no language model.",
            advice="There is nothing to save: its answers cost next to nothing.",
        )
    texts = _texts(context, task, answerer, source)
    raw = context.encoder().encode(texts)
    with speakers(context, None, Terms(purpose="check", task=name)) as known:
        said, spent = _asked(known, answerer, (texts, raw), budget_usd)
    vectors, rows, refused = unit(raw), list[SimilarAnswers](), list[str]()
    asked = {each: said[each] for each in said if len(said[each].about) >= FEWEST}
    if not asked:
        refused.append(
            f"no prompt was asked about {FEWEST} texts or more in the same words around them: it "
            "shows examples chosen for each, changes the text, or is rarely reached."
        )
    for each, one in asked.items():
        promised = Promised(
            at_most_wrong=rule.at_most_wrong,
            # All prompts together are to hold what is promised (Bonferroni).
            confidence=1.0 - (1.0 - rule.confidence) / len(asked),
        )
        try:
            bank = certify(each, one.answers, vectors[one.about], promised)
        except InputError as error:
            refused.append(f"{error.what} {error.advice or ''}".strip())
            continue
        rows.append(
            SimilarAnswers(
                task=name,
                release=answerer.release or 0,
                upstream=one.upstream,
                model=model_digest(known[one.upstream].upstream),
                frame=each,
                encoder=context.trunk("fp32").digest,
                certificate=bank.certificate,
                vectors=bank.vectors.astype("<f2").tobytes(),
                answers=tuple(map(_bare, bank.answers)),
                created=context.clock(),
                expires=context.clock() + timedelta(days=rule.days),
            )
        )
    context.record_configuration()
    context.ledger.keep_similar_answers(name, rows, actor=context.actor)
    return SimilarFound(
        task=name,
        release=answerer.release or 0,
        questions=len(texts),
        micro_usd=spent,
        banks=tuple(_state(row, None) for row in rows),
        refused=tuple(refused),
    )


def similar_states(context: Context, name: str | None = None) -> tuple[SimilarState, ...]:
    """What is certified for a task, or for all of them, and whether it answers.

    Raises:
        UnknownNameError: If there is no such task.
    """
    names = sorted(context.ledger.tasks()) if name is None else [name]
    upstreams = {each.name: each for each in context.ledger.upstreams()}
    found: list[SimilarState] = []
    for each in names:
        rule: SimilarRule | None = current_task(context, each).similar_rule
        for row in context.ledger.similar_answers(each):
            now = context.trunk("fp32").digest, context.clock()
            found.append(_state(row, lapsed(row, rule, upstreams.get(row.upstream), now)))
    return tuple(found)


def _state(row: SimilarAnswers, why: str | None) -> SimilarState:
    return SimilarState(
        task=row.task,
        release=row.release,
        upstream=row.upstream,
        questions=len(row.answers),
        certificate=row.certificate,
        created=row.created,
        expires=row.expires,
        lapsed=why,
    )


def _bare(answer: Completion) -> Completion:
    """What is given again: neither where nor when it was made."""
    return msgspec.structs.replace(answer, micro_usd=0, attempts=0, cached="", region="")


def _texts(context: Context, task: Task, answerer: Answerer, source: Path | None) -> list[str]:
    """Prepared texts, each once, in an order that nobody chose.

    Raises:
        InputError: If there are too few, or the examples cannot stand for what is asked.
    """
    if source is not None:
        texts = _of_file(context, task, answerer, source)
    else:
        texts = _served(context, task.name, answerer)
        if len(texts) < ENOUGH and isinstance(answerer.predictor, CascadePredictor):
            raise InputError(
                f"{len(texts):,} kept inputs of served answers are too few, and the examples do "
                "not stand for what this cascade asks its language model: its first rungs have "
                "seen them.",
                advice=f"Serve it until there are {ENOUGH}, or give texts it was not fitted to "
                "with --input.",
            )
        if len(texts) < ENOUGH:
            texts = _examples(context, answerer)
    distinct = sorted(dict.fromkeys(texts), key=lambda text: digest_of([task.name, text]))[:MOST]
    if len(distinct) < FEWEST:
        raise InputError(
            f"{len(distinct):,} texts are too few to promise anything.",
            advice=f"Give at least {FEWEST}, better 1,000, with --input.",
        )
    return distinct


def _of_file(context: Context, task: Task, answerer: Answerer, source: Path) -> list[str]:
    from milepost.data.streaming.stream import open_stream

    prepare = context.preparation(answerer.manifest.prepare)
    found: list[str] = []
    with open_stream(source, (task.input_column, task.input_name)) as stream:
        for table in stream.parts():
            named = task.input_column if task.input_column in table.columns else task.input_name
            values = [str(each) for each in table.column(named, "column") if each]
            found += [text for text in prepare(values) if text]
    return found


def _served(context: Context, name: str, answerer: Answerer) -> list[str]:
    prepare, last, found = context.preparation(answerer.manifest.prepare), None, list[str]()
    with closing(open_sink(context)) as sink:
        while len(found) < MOST:
            page = sink.traces(name, limit=_PAGE, before=last)
            found += [trace.text for trace in page if trace.text]
            if len(page) < _PAGE:
                break
            last = page[-1].id
    return [text for text in prepare(found[:MOST]) if text]


def _examples(context: Context, answerer: Answerer) -> list[str]:
    from milepost.data.snapshot import read_snapshot

    manifest = answerer.manifest
    dataset = context.ledger.dataset(Digest(str(manifest.examples)))
    return inputs_for(context, manifest, read_snapshot(context.artifacts.get(dataset.artifact)))


def _asked(
    known: Speakers, answerer: Answerer, given: tuple[list[str], Vectors], budget_usd: float
) -> tuple[dict[str, _Said], int]:
    """What the model answers to what the release asks about each text, by frame; what it cost.

    Raises:
        InputError: If it would cost more than may be spent.
        UpstreamError: If no call can be made at all.
    """
    predictor, (texts, vectors) = answerer.predictor, given
    said: dict[str, _Said] = defaultdict(_Said)
    spent = 0

    def noted(
        asking: Asking[Predictions], row: int
    ) -> Generator[Sequence[Question], Sequence[Answered], Predictions]:
        """The same asking; what is answered is written down."""
        nonlocal spent
        try:
            questions = next(asking)
            while True:
                answers = yield questions
                for question, answer in zip(questions, answers, strict=True):
                    spent += answer.micro_usd
                    upstream = known[question.upstream].upstream
                    found = frame(upstream, question.request, texts[row])
                    if found is not None and isinstance(answer, Completion):
                        one = said[found]
                        one.about.append(row)
                        one.answers.append(answer)
                        said[found] = _Said(one.about, one.answers, upstream.name)
                questions = asking.send(answers)
        except StopIteration as end:
            return end.value

    reads = predictor.uses == "vectors"
    batches = [
        Batch((text,), vectors[row : row + 1] if reads else None) for row, text in enumerate(texts)
    ]
    askings = [noted(predictor.answering(each), row) for row, each in enumerate(batches)]
    language = {name: known[name] for name in predictor.upstreams}
    try:
        by_row(askings, within(language, round(budget_usd * MICRO)))
    except UpstreamError as error:
        if error.outcome != "over_budget":
            raise
        advice = error.advice or "Allow it with --budget-usd; what was asked before costs nothing."
        raise InputError(error.what, where="budget_usd", advice=advice) from error
    return said, spent
