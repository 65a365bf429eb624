"""What was tuned last: strategies that tune on the same rows in the same way share the work."""

import threading
from collections import OrderedDict
from dataclasses import replace

import msgspec

from milepost._base.digest import digest_of
from milepost.models.folder import EncoderFolder
from milepost.strategies.tuning.records import Corpus, Tuned, Tuning
from milepost.strategies.watching import Watch

MOST_RECENT = 32
"""Tunings that are kept, some 150 kB each and as much for each ``Tuning.keep``: those of the folds
of a contest, and of all its rows."""


class Recent:
    """Tunings on one corpus, kept for whoever asks for the same. Thread safe.

    A tuning with the same examples, settings and seed gives the same adapter; but for its
    ``strength``, by which the adapter is scaled afterwards. What was cut short, or did not go as
    asked, is not kept; and no tuning of whole layers, which is large.

    Args:
        most: How many are kept, ≥ 1.
    """

    def __init__(self, most: int = MOST_RECENT) -> None:
        self._most = most
        self._known: OrderedDict[str, Tuned] = OrderedDict()
        self._lock = threading.Lock()

    def tuned(
        self, folder: EncoderFolder, corpus: Corpus, tuning: Tuning, *, seed: int, watch: Watch
    ) -> Tuned:
        """``tune`` of one corpus, or what it gave before.

        Raises:
            DeclinedError: As ``tune``.
        """
        from milepost.strategies.tuning.training import tune

        if tuning.whole:
            return tune(folder, [corpus], tuning, seed=seed, watch=watch)
        full = replace(tuning, strength=1.0)
        key = digest_of([folder.digest, _told(corpus), msgspec.to_builtins(full), seed])
        with self._lock:
            found = self._known.get(key)
        if found is None:
            notes: list[str] = []
            listening = replace(watch, note=notes.append)
            try:
                found = tune(folder, [corpus], full, seed=seed, watch=listening)
            finally:
                for note in notes:
                    watch.note(note)
            if not notes:
                self._keep(key, found)
        watch.progress(1.0)
        return found.scaled(tuning.strength)

    def _keep(self, key: str, tuned: Tuned) -> None:
        with self._lock:
            self._known[key] = tuned
            while len(self._known) > self._most:
                self._known.popitem(last=False)


def _told(corpus: Corpus) -> list[object]:
    """What of a corpus decides what is tuned on it alone."""
    sets = None if corpus.sets is None else corpus.sets.tolist()
    return [corpus.labels, corpus.descriptions, corpus.texts, corpus.y.tolist(), sets]


RECENT = Recent()
"""Of this process."""
