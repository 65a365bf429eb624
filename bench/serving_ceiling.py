"""What the encoder alone does, without a server: two threads, each reading and encoding; JSON.

The ceiling under which any server on this encoder stays. Each thread turns texts into tokens and
tokens into vectors in batches of one size, on its own core; no text comes twice.
"""

import json
import threading
import time
from pathlib import Path

from bench.common import request
from bench.load.texts import texts, words


def main() -> None:
    from milepost.models.catalog import EncoderOptions, open_trunk
    from milepost.workflows.opening import cache_folder

    asked = request()
    options = EncoderOptions(variant=asked["variant"])
    trunk = open_trunk("embedded", cache_folder(), options)
    pool = texts(20_000, 12, words(Path(asked["tokenizer"])), asked["seed"])
    found = {str(batch): rate(trunk, pool, batch, asked["seconds"]) for batch in asked["batches"]}
    print(json.dumps(found))


def rate(trunk, pool: list[str], batch: int, seconds: float) -> float:
    """Texts a second of two threads together."""
    done = [0, 0]
    trunk.forward(trunk.tokenise(pool[:batch]))
    until = time.perf_counter() + seconds

    def work(thread: int) -> None:
        at = thread * len(pool) // 2
        while time.perf_counter() < until:
            trunk.forward(trunk.tokenise(pool[at : at + batch]))
            done[thread] += batch
            at = (at + batch) % (len(pool) - batch)

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
