"""What every workflow is given: the rooms of one workspace, wired once."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from milepost._base.clock import Clock, utc_now
from milepost._base.settings import Settings
from milepost.entities.configuration import Configuration
from milepost.entities.lineage import RunNews
from milepost.entities.task import InputType, Task
from milepost.models.encoder import Encoder
from milepost.models.export import Variant
from milepost.models.folder import EncoderFolder
from milepost.models.images.store import Images
from milepost.models.trunk import Trunk
from milepost.predictors.preparation import Preparation, preparation
from milepost.predictors.preparation.preparing import Steps
from milepost.storage.files.artifacts import Artifacts
from milepost.storage.ledger import Ledger
from milepost.workflows.encoders import Encoders, Opened, require_readable, texts_alone

Events = Callable[[str, str, float], None]
"""Called with (task, what is being done, share of it done in [0, 1])."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Context:
    """One workspace's rooms.

    Attributes:
        root: Folder of the workspace.
        configuration: What ``milepost.toml`` says.
        ledger: The store of record.
        artifacts: Content-addressed files.
        encoder: Gives the encoder behind the vector cache; opened at the first call.
        bare_encoder: Gives the same encoder without the cache, for timing.
        trunk: Gives the same encoder for serving, in a variant; each is opened once.
        weights: Finds the encoder's own weights, for what tunes it.
        inputs_read: Says what the encoder reads; finds its files, and opens nothing.
        encoders: All encoders of the workspace; ``None`` where there is but the one.
        images: The images of the workspace's data.
        actor: Who acts, for the audit log.
        clock: Gives the time.
        on_event: Told about progress.
        tell: Tells listeners outside what happens in a contest, and never fails; ``None`` where
            nobody listens.
    """

    root: Path
    configuration: Configuration
    ledger: Ledger
    artifacts: Artifacts
    encoder: Callable[[], Encoder]
    bare_encoder: Callable[[], Encoder]
    trunk: Callable[[Variant], Trunk]
    weights: Callable[[], EncoderFolder]
    inputs_read: Callable[[], tuple[InputType, ...]] = texts_alone
    encoders: Encoders | None = None
    images: Images = field(default_factory=Images)
    actor: str = "local"
    clock: Clock = utc_now
    on_event: Events = field(default=lambda task, what, share: None)
    tell: Callable[[RunNews], None] | None = None

    @property
    def settings(self) -> Settings:
        """Numbers that a team may want to change."""
        return self.configuration.settings

    def preparation(self, steps: Steps, where: str = "") -> Preparation:
        """Steps of a task or manifest, ready to be applied; own files are the workspace's.

        Raises:
            InputError: As :func:`milepost.predictors.preparation.preparation`.
        """
        return preparation(steps, self.root, self.settings.max_text_chars, where, self.images)

    def reading(self, digest: str | None) -> "Context":
        """The workspace for what reads vectors of the encoder with this digest.

        Where no further encoder has it, the workspace stays as it is: whoever reads vectors then
        checks the encoder's digest.
        """
        found = None if digest is None or self.encoders is None else self.encoders.find(digest)
        return self if found is None or found.encoder is self.encoder else self.on(found)

    def for_task(self, task: Task) -> "Context":
        """The workspace with the encoder that a task names, for a new contest of it.

        Raises:
            EncoderError: If the encoder is not there, or does not read the task's inputs.
            UnknownNameError: If the task names none.
        """
        named, found = task.own_encoder, self
        if named is not None and self.encoders is not None:
            found = self.on(self.encoders.open(named))
        require_readable(task, found.inputs_read())
        return found

    def on(self, encoder: Opened) -> "Context":
        """The workspace with another encoder in place of its own."""
        return replace(
            self,
            encoder=encoder.encoder,
            bare_encoder=encoder.bare_encoder,
            trunk=encoder.trunk,
            weights=encoder.weights,
            inputs_read=encoder.inputs_read,
        )

    def record_configuration(self) -> None:
        """Note in the ledger what ``milepost.toml`` says; every command that acts does it first."""
        self.ledger.record_configuration(self.configuration, self.actor)


def local_actor() -> str:
    """Name of the person at this machine, for the audit log: ``MILEPOST_ACTOR``, else the user."""
    actor = os.environ.get("MILEPOST_ACTOR")
    if actor:
        return actor
    with suppress(OSError, KeyError, ImportError):
        import getpass

        return getpass.getuser()
    return "local"
