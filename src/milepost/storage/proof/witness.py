"""Signs a checkpoint after what was committed, not too often, and never in the way of the work."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC
from functools import cached_property

from milepost._base.clock import Clock
from milepost.entities.audit import Checkpoint
from milepost.entities.errors import MilepostError
from milepost.entities.ids import Digest
from milepost.storage.proof.checkpoints import Checkpoints, signed
from milepost.storage.proof.signing import Signer

EVERY = 1.0
"""Seconds between checkpoints of one process while it writes without a pause."""


class Witness:
    """Signs and stores checkpoints of a ledger's logs, told of each commit.

    The first is written at once. While commits follow each other closely, one is written per
    ``every`` seconds, by a thread where need be, and ``flush`` writes the last. Each covers all
    entries before it, so that none is left out for good. What cannot be written is said once and
    tried again with the next commit; it never undoes or hides what was committed.

    Args:
        checkpoints: Gives where they go, at the first commit; nothing is opened before.
        signer: Gives the key, likewise; none is read or made before.
        clock: Gives the time that is written down.
        every: Seconds between two checkpoints; 0 writes one at each commit.
    """

    def __init__(
        self,
        checkpoints: Callable[[], Checkpoints],
        signer: Callable[[], Signer],
        clock: Clock,
        *,
        every: float = EVERY,
    ) -> None:
        self._open = checkpoints
        self._signer = signer
        self._clock = clock
        self._every = every
        self._state = threading.Lock()
        self._writing = threading.Lock()
        self._newest: dict[str, tuple[int, str]] = {}
        self._next = float("-inf")
        self._timer: threading.Timer | None = None
        self._said = False

    def __call__(self, tenant: str, sequence: int, digest: str) -> None:
        """A tenant's log was committed up to that entry; never raises for a bad place."""
        with self._state:
            self._newest[tenant] = max(self._newest.get(tenant, (0, "")), (sequence, digest))
            wait = self._next - time.monotonic()
            if wait > 0:
                self._later(wait)
                return
            self._next = time.monotonic() + self._every
        self._write()

    def flush(self) -> None:
        """Write what is still to be written."""
        with self._state:
            if self._timer is not None:
                self._timer.cancel()
        self._write()

    def _later(self, wait: float) -> None:
        if self._timer is None:
            self._timer = threading.Timer(wait, self._write)
            self._timer.daemon = True
            self._timer.start()

    def _write(self) -> None:
        with self._writing:
            with self._state:
                newest, self._newest, self._timer = self._newest, {}, None
                self._next = time.monotonic() + self._every
            for tenant, (sequence, digest) in newest.items():
                try:
                    self._add(tenant, sequence, digest)
                except MilepostError as error:
                    self._warn(sequence, str(error))
                # Whatever it is: the entries are committed, and nobody must think otherwise.
                except Exception as error:  # noqa: BLE001
                    self._warn(sequence, f"{type(error).__name__}.")

    @cached_property
    def _checkpoints(self) -> Checkpoints:
        return self._open()

    @cached_property
    def _key(self) -> Signer:
        return self._signer()

    def _add(self, tenant: str, sequence: int, digest: str) -> None:
        checkpoint = Checkpoint(
            tenant=tenant,
            sequence=sequence,
            hash=Digest(digest),
            at=self._clock().astimezone(UTC).isoformat(timespec="microseconds"),
            previous=self._checkpoints.newest(tenant),
            key="",
        )
        self._checkpoints.add(signed(checkpoint, self._key))

    def _warn(self, sequence: int, why: str) -> None:
        if self._said:
            return
        self._said = True
        logging.getLogger("milepost").warning(
            "warning: what was done is recorded, but the audit checkpoint of entry %d could not "
            "be written: %s The next change tries again.",
            sequence,
            why,
        )
