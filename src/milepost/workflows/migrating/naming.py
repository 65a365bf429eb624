"""Where the encoders lie that tasks name themselves: written down before a release reads one."""

from milepost.entities.configuration import parse_configuration
from milepost.entities.task import Task
from milepost.workflows.context import Context
from milepost.workflows.encoders import places
from milepost.workflows.ledger_address import FILE, with_places
from milepost.workflows.tasks.files import write_whole


def remember_encoder(context: Context, task: Task) -> None:
    """Let ``milepost.toml`` say where a task's own encoder lies, unless it does.

    A release names its encoder by digest: it is found there also when the task names another.

    Args:
        context: The workspace on the task's encoder.
        task: The task.

    Raises:
        EncoderError: If the encoder cannot be opened.
        InputError: If ``milepost.toml`` writes the field in a way that is not understood.
    """
    spec = task.own_encoder
    if spec is None or context.encoders is None:
        return
    digest = context.encoder().digest
    context.encoders.note(digest, spec)
    text = (context.root / FILE).read_text(encoding="utf-8-sig")
    known = dict(places(parse_configuration(text, FILE)))
    if known.get(digest) != spec:
        changed = with_places(text, encoders={**known, digest: spec})
        write_whole(context.root / FILE, changed.encode())
