"""Follows the ledger while a server runs: channels, task versions and keys, each within seconds."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from milepost.entities.errors import MilepostError
from milepost.entities.release import Channel
from milepost.entities.task import Task
from milepost.serving.parts import Loading
from milepost.serving.routing.plan import Plan, Table
from milepost.serving.routing.router import Router
from milepost.storage.records.updates import UPDATED
from milepost.workflows.context import Context
from milepost.workflows.serving.loading import Loader
from milepost.workflows.serving.planning import Standing, replan
from milepost.workflows.tasks.current import current_task
from milepost.workflows.tasks.files import FOLDER

RETRY_SECONDS = 10.0
"""Seconds after which what could not be loaded is tried again."""

_LOGGED = 5
"""Most tasks of one look whose trouble, or change, is logged one by one."""

_log = logging.getLogger(__name__)

_Seen = tuple[int, int, int]
"""Time of change, size and number of a file: another one has another."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Following:
    """How the ledger is followed.

    Attributes:
        every: Seconds between two looks, > 0.
        on_keys: Called from the watcher's thread whenever a key was made or revoked.
        on_upstreams: The same whenever a language model was registered, changed or removed, or
            answers to similar questions may have been certified, or may be so no more.
    """

    every: float = 1.0
    on_keys: Callable[[], None] = lambda: None
    on_upstreams: Callable[[], None] = lambda: None


class Watcher:
    """Keeps a router's table as the ledger and the task files say.

    ``load`` and ``step`` are called by one thread at a time: first by the one that opens the
    service, then by the watcher's own. What cannot be read or loaded leaves the table as it is, is
    logged once and tried again.

    Args:
        context: The workspace.
        loader: Gives releases.
        router: Whose table is replaced.
        following: How often, and who else is told.
    """

    def __init__(
        self, context: Context, loader: Loader, router: Router, following: Following
    ) -> None:
        self._context = context
        self._loader = loader
        self._router = router
        self._following = following
        self._standing = Standing()
        self._seen = 0
        self._files: dict[str, _Seen] = {}
        self._unread: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._swaps = 0
        self._lost_since: float | None = None
        self._retried = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Load everything for the first time.

        Raises:
            StorageError: If the ledger cannot be read.
        """
        self._read_files()
        # Read first: what is written from here on is looked at again.
        self._seen = self._context.ledger.audit_head().sequence
        self._follow(self._context.ledger.tasks())
        self._retried = time.monotonic()

    def start(self) -> None:
        """Begin to look, on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="milepost-watcher", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Look no more; wait so long for a look that goes on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def loading(self) -> Loading:
        """How it goes. Any thread may ask."""
        lost = self._lost_since
        return Loading(
            problems={**self._problems, **self._unread},
            lost=0.0 if lost is None else time.monotonic() - lost,
            swaps=self._swaps,
        )

    def step(self) -> None:
        """One look: reload what changed since the last one.

        Raises:
            StorageError: If the ledger cannot be read; the next look sees what this one missed.
        """
        self._read_files()
        names, told, seen = self._changed()
        if "key" in told:
            self._following.on_keys()
        if told & {"upstream", "similar", "task"}:
            self._following.on_upstreams()
        if self._problems and time.monotonic() - self._retried > RETRY_SECONDS:
            self._retried = time.monotonic()
            names |= set(self._problems)
        if names:
            self._follow(names)
        self._seen = seen

    def _run(self) -> None:
        while not self._stop.wait(self._following.every):
            try:
                self.step()
            except MilepostError as error:
                if self._lost_since is None:
                    self._lost_since = time.monotonic()
                    _log.warning("the ledger cannot be followed, serving goes on: %s", error)
            except Exception:  # noqa: BLE001 - the thread must outlive whatever it meets
                _log.exception("the ledger cannot be followed, serving goes on")
            else:
                if self._lost_since is not None:
                    _log.warning("the ledger can be followed again")
                self._lost_since = None

    def _changed(self) -> tuple[set[str], set[str], int]:
        """Tasks that the audit log names since the last look, what else, and where it ends."""
        ledger = self._context.ledger
        head = ledger.audit_head().sequence
        if head == self._seen:
            return set(), set(), head
        if head < self._seen:
            # Another ledger stands there, such as a backup that was restored.
            return {*ledger.tasks(), *self._standing.tasks}, {"key", "upstream"}, head
        names: set[str] = set()
        told: set[str] = set()
        last = self._seen
        for entry in ledger.audit_stream(after=self._seen):
            last = entry.sequence
            if entry.action == "channel.moved":
                names.add(entry.subject.rpartition("@")[0])
            elif entry.action in {"task.added", "task.changed"}:
                names.add(entry.subject)
            elif entry.action == UPDATED:
                names.add(entry.subject.rpartition("#")[0])
            told.add(entry.action.partition(".")[0])
        return names, told, last

    def _follow(self, names: Iterable[str]) -> None:
        """Make the plans of some tasks anew, and swap the table."""
        ledger = self._context.ledger
        channels: dict[str, dict[str, Channel]] = {}
        for channel in ledger.every_channel():
            channels.setdefault(channel.task, {})[channel.name] = channel
        known = set(ledger.tasks())
        tasks: dict[str, Task] = {n: t for n, t in self._standing.tasks.items() if n in known}
        names = set(names)
        for name in names & known:
            tasks[name] = ledger.task(name).task
        now = Standing(tasks, channels)
        table, problems = replan(self._loader, (self._router.table, self._standing), now, names)
        fresh = [name for name, why in problems.items() if self._problems.get(name) != why]
        for name in fresh[:_LOGGED]:
            _log.warning("the task %s cannot be loaded as it is now: %s", name, problems[name])
        if len(fresh) > _LOGGED:
            _log.warning("%d more tasks cannot be loaded as they are now", len(fresh) - _LOGGED)
        tried = self._standing.neighbours(names) | now.neighbours(names)
        kept = {name: why for name, why in self._problems.items() if name not in tried}
        self._problems = kept | problems
        self._standing = now
        self._tell_changes(table)
        self._router.table = table
        self._swaps += 1

    def _tell_changes(self, table: Table) -> None:
        """Log which releases are followed from now on; not what is there from the start."""
        if not self._swaps:
            return
        before, now = self._router.table.plans, table.plans
        changed = [name for name in {**before, **now} if _shown(before, name) != _shown(now, name)]
        for name in changed[:_LOGGED]:
            _log.info("%s: %s, was %s", name, _shown(now, name), _shown(before, name))
            if name in now and now[name].served.variant is not None:
                _log.info("%s: on %s", name, _why(now[name]))
        if len(changed) > _LOGGED:
            _log.info("%d more tasks have changed", len(changed) - _LOGGED)

    def _read_files(self) -> None:
        """Bring changed task files into the ledger, where they are found like other changes."""
        for path in sorted((self._context.root / FOLDER).glob("*.yaml")):
            try:
                self._read_file(path)
            except MilepostError as error:
                if self._unread.get(path.stem) != str(error):
                    _log.warning("the task file %s is left as it was: %s", path.name, error)
                self._unread[path.stem] = str(error)
            except OSError:
                continue  # it is being replaced; the next look finds it

    def _read_file(self, path: Path) -> None:
        found = path.stat()
        seen = found.st_mtime_ns, found.st_size, found.st_ino
        if self._files.get(path.stem) != seen:
            self._files[path.stem] = seen
            current_task(self._context, path.stem)
            self._unread.pop(path.stem, None)


def _shown(plans: Mapping[str, Plan], name: str) -> str:
    """Which releases answer a task, for the log."""
    plan = plans.get(name)
    if plan is None:
        return "not served"
    task = plan.served
    words = [f"release {task.production} ({task.variant or 'no encoder'})"]
    if task.canary is not None:
        words.append(f"canary {task.canary} at {100 * task.share:g} %")
    if task.shadow is not None:
        words.append(f"shadow {task.shadow}")
    return ", ".join(words)


def _why(plan: Plan) -> str:
    """The variant of the encoder that a task serves on, and why."""
    return f"{plan.served.variant}: {plan.served.variant_why}"
