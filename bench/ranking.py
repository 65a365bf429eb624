"""Candidates in order: what a release finds for a query, beside BM25 and the cosine of vectors.

Data: `rag_cranfield` (225 queries, 1,398 abstracts, any judgement of 1 to 4 is relevant) and
`rag_xquad` (questions, one right paragraph of 240; in one language, and questions in another
language than the paragraphs). Every method orders the **whole collection**; `head_rank` orders what
both ways of searching find, as a release does, and is fitted on four fifths of the queries, with
negatives drawn as `milepost` draws them, to answer the other fifth.

How to read it: nDCG@10, MRR and recall@10, means over queries; `gain` is `head_rank` less the
better of the two others in nDCG@10, with a 95 % interval of the paired bootstrap over queries. The
encoder is all-MiniLM-L6-v2, which was made for English.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, data_folder, stored
from bench.vectors import frozen_vectors

FOLDS, SEED, RESAMPLES, DEPTH = 5, 0, 4000, 10
LANGUAGES = (("en", "en"), ("de", "de"), ("de", "en"), ("es", "en"))
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Lot:
    """Queries, a collection, and which of its texts are relevant to each query."""

    name: str
    corpus_name: str
    queries: tuple[str, ...]
    corpus: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]


def cranfield() -> Lot:
    """Queries of the Cranfield collection with its abstracts."""
    import pyarrow.parquet as pq

    folder = data_folder() / "rag_cranfield"
    corpus = pq.read_table(folder / "corpus.parquet").to_pylist()
    queries = pq.read_table(folder / "queries.parquet").to_pylist()
    judged = pq.read_table(folder / "qrels.parquet").to_pylist()
    texts = {str(row["doc_id"]): f"{row['title'] or ''} {row['text'] or ''}".strip()
             for row in corpus}  # fmt: skip
    names = [name for name, text in texts.items() if text]
    at = {name: place for place, name in enumerate(names)}
    found: dict[str, set[int]] = {str(row["query_id"]): set() for row in queries}
    for row in judged:
        if row["relevance"] < 5 and str(row["doc_id"]) in at:
            found[str(row["query_id"])].add(at[str(row["doc_id"])])
    kept = [row for row in queries if found[str(row["query_id"])]]
    return Lot(
        "cranfield",
        "cranfield",
        tuple(row["text"] for row in kept),
        tuple(texts[name] for name in names),
        tuple(frozenset(found[str(row["query_id"])]) for row in kept),
    )


def xquad(asked: str, told: str) -> Lot:
    """Questions in one language, paragraphs in one."""
    import pyarrow.parquet as pq

    folder = data_folder() / "rag_xquad"
    corpus = [r for r in pq.read_table(folder / "corpus.parquet").to_pylist() if r["lang"] == told]
    rows = [r for r in pq.read_table(folder / "queries.parquet").to_pylist() if r["lang"] == asked]
    at = {row["doc_id"]: place for place, row in enumerate(corpus)}
    return Lot(
        f"xquad_{asked}_{told}",
        f"xquad_{told}",
        tuple(row["text"] for row in rows),
        tuple(row["text"] for row in corpus),
        tuple(frozenset({at[row["doc_id"]]}) for row in rows),
    )


def run(options: Options) -> dict[str, object]:
    """Every lot; 60 questions of one when quick."""
    done: dict[str, object] = {} if options.quick else dict(stored("ranking").get("sets", {}))
    if options.quick:
        whole = xquad("en", "en")
        lots = [Lot(whole.name, whole.corpus_name, whole.queries[:60], whole.corpus,
                    whole.relevant[:60])]  # fmt: skip
    else:
        lots = [cranfield(), *(xquad(*languages) for languages in LANGUAGES)]
    for lot in lots:
        if not options.only or lot.name in options.only:
            done[lot.name] = measured(lot)
    return {"folds": FOLDS, "depth": DEPTH, "sets": done}


def measured(lot: Lot) -> dict[str, object]:
    """All three methods on one lot."""
    from milepost.models.searching.lexical import WordIndex

    queries = frozen_vectors(f"ranking_q_{lot.name}", list(lot.queries))
    corpus = frozen_vectors(f"ranking_{lot.corpus_name}", list(lot.corpus))
    index = WordIndex(lot.corpus)
    orders = {
        "bm25": [np.argsort(-index.scores(query), kind="stable") for query in lot.queries],
        "cosine": [np.argsort(-(corpus @ vector), kind="stable") for vector in queries],
        "head_rank": _by_head(lot, queries, corpus),
    }
    found = {name: scores(lot, each) for name, each in orders.items()}
    means = {name: {measure: float(values.mean()) for measure, values in each.items()}
             for name, each in found.items()}  # fmt: skip
    best = max(("bm25", "cosine"), key=lambda name: means[name]["ndcg@10"])
    apart = found["head_rank"]["ndcg@10"] - found[best]["ndcg@10"]
    draws = np.random.default_rng(SEED).integers(0, len(apart), (RESAMPLES, len(apart)))
    low, high = np.quantile(apart[draws].mean(axis=1), [0.025, 0.975])
    gain = {"over": best, "value": float(apart.mean()), "low": float(low), "high": float(high)}
    said = "  ".join(f"{name} {each['ndcg@10']:.3f}" for name, each in means.items())
    print(f"  {lot.name}: {said}  gain {gain['value']:+.3f} [{low:+.3f}, {high:+.3f}]", flush=True)
    sizes = {"queries": len(lot.queries), "collection": len(lot.corpus)}
    return {**sizes, **means, "gain": gain}


def scores(lot: Lot, orders: Sequence[NDArray[np.int64]]) -> dict[str, Array]:
    """Each measure of each query."""
    found: dict[str, list[float]] = {"ndcg@10": [], "mrr": [], "recall@10": []}
    for order, relevant in zip(orders, lot.relevant, strict=True):
        hits = np.array([row in relevant for row in order.tolist()])
        worth = 1.0 / np.log2(np.arange(DEPTH) + 2.0)
        top = hits[:DEPTH].astype(np.float64)
        best = worth[: min(len(relevant), DEPTH)].sum()
        found["ndcg@10"].append(float((top * worth[: len(top)]).sum() / best))
        first = int(hits.argmax()) if hits.any() else -1
        found["mrr"].append(1.0 / (first + 1) if first >= 0 else 0.0)
        found["recall@10"].append(float(top.sum() / len(relevant)))
    return {name: np.array(values) for name, values in found.items()}


class Sides:
    """An encoder that knows the vectors of one lot and nothing else."""

    name, digest, variant = "held", "0" * 64, "fp32"

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._vectors = dict(zip(texts, vectors, strict=True))
        self.dimensions = vectors.shape[1]

    def encode(self, texts, progress=None) -> NDArray[np.float32]:
        del progress
        return np.stack([self._vectors[text] for text in texts])


def _by_head(
    lot: Lot, queries: NDArray[np.float32], corpus: NDArray[np.float32]
) -> list[NDArray[np.int64]]:
    """Order of the whole collection: what was found by the head, the rest as it is by cosine."""
    from milepost.entities.inputs import MARK
    from milepost.models.pairs import PairEncoder
    from milepost.models.searching.finding import Collection
    from milepost.predictors.reading import batch_for
    from milepost.strategies.ranking.head_rank import HeadRank

    asked = [_side(text) for text in lot.queries]
    told = [_side(text) for text in lot.corpus]
    encoder = PairEncoder(Sides([*asked, *told], np.concatenate([queries, corpus])))
    collection = Collection(told, corpus)
    # The same question in two rows is one query: both are on one side.
    firsts = {query: at for at, query in reversed(list(enumerate(asked)))}
    fold = np.random.default_rng(SEED).permutation(len(asked)) % FOLDS
    fold = np.array([fold[firsts[query]] for query in asked])
    orders: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(asked)
    for out in range(FOLDS):
        inside = np.flatnonzero(fold != out)
        problem = _problem(lot, (asked, told), inside.tolist(), encoder)
        predictor = HeadRank().fit(problem)
        for at in np.flatnonzero(fold == out).tolist():
            rows = collection.find(asked[at], queries[at])
            pairs = [f"{asked[at]} {MARK} {told[row]}" for row in rows]
            said = predictor.logits(batch_for(predictor, pairs, encoder))[:, 0]
            whole = corpus @ queries[at] - 10.0
            whole[rows] = 10.0 + said
            orders[at] = np.argsort(-whole, kind="stable")
    return orders


def _side(text: str) -> str:
    """A text as it stands in a pair."""
    from milepost.entities.inputs import MARK

    return text.replace(MARK, " ").strip()


def _problem(lot: Lot, sides: tuple[list[str], list[str]], rows: list[int], encoder):
    """Queries with their relevant texts, and negatives as they are drawn from data."""
    from milepost.data.ranking import with_negatives
    from milepost.entities.example import Examples
    from milepost.entities.inputs import MARK
    from milepost.entities.kinds import VALUE, truths, written_grade
    from milepost.entities.task import Task
    from milepost.strategy import Problem

    asked, told = sides
    pairs = [(asked[at], told[row]) for at in rows for row in sorted(lot.relevant[at])]
    n = len(pairs)
    examples = Examples(
        ids=tuple(map(str, range(n))),
        texts=tuple(f"{query} {MARK} {text}" for query, text in pairs),
        labels=tuple(written_grade(1.0, query) for query, _ in pairs),
        groups=("",) * n,
        sources=("",) * n,
    )
    task = Task(name="find", kind="rank", inputs={"query": "string", "candidate": "string"})
    examples, _ = with_negatives(examples, task, told)
    return Problem(
        labels=(VALUE,),
        descriptions=("",),
        instruction="",
        kind="rank",
        texts=examples.texts,
        y=truths("rank", examples.labels, (VALUE,)),
        encoder=encoder,
        seed=SEED,
    )
