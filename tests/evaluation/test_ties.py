"""No figure depends on how ids are spelled, nor on how often a passage stands in the corpus."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from rankstill.config import CandidatesConfig
from rankstill.data import Corpus, Qrels
from rankstill.evaluation import Run, break_ties, per_query, rank_order, write_run
from rankstill.evaluation.attribution import attribute
from rankstill.evaluation.runs import write_qrels
from rankstill.evaluation.systems import dense_run, encoded_run, fused_run, lexical_run, reranked_run
from rankstill.ranker import Ranker
from rankstill.ranker.prior import Prior
from rankstill.retrieval import FEATURES, FirstStage, encode_passages, load_vectors

pytestmark = pytest.mark.usefixtures("full_precision")

# Distinct passages that BM25 cannot tell apart, nor the tiny model, to which unknown words are their letters.
TEXTS = [
    "the volcano has lava",
    "the volcano has magma",
    "the volcano has ash",
    "bread needs yeast",
    "bread needs flour",
    "a harbour of ships",
]
GOLD = {"q1": [1], "q2": [4], "q3": [5, 3]}
QUERIES = {"q1": "volcano", "q2": "bread", "q3": "the harbour, volcano and bread"}
MEASURES = ["nDCG@10", "Hit@1", "Recall@100", "MRR@10"]
SYSTEMS = ("bm25", "dense", "fused", "prior", "ranker", "encoded")


@pytest.fixture
def runs_of(tiny_model: Any, tmp_path: Path) -> Callable[[Corpus], dict[str, Run]]:
    """Every system's run over a corpus, with vectors and a ranker that tie all passages."""

    def make(corpus: Corpus) -> dict[str, Run]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        encode_passages(tiny_model, corpus, folder)
        vectors = load_vectors(folder)
        tied = np.zeros_like(vectors)
        tied[:, 0] = 1.0
        config = CandidatesConfig()
        stage, real = (FirstStage(corpus, tiny_model, each, config) for each in (tied, vectors))
        ranker = Ranker(Prior(FEATURES, (0.0, 0.0)), None)  # to which all passages are alike
        return {
            "bm25": lexical_run(stage, QUERIES),
            "dense": dense_run(stage, QUERIES),
            "fused": fused_run(stage, QUERIES),
            "prior": reranked_run(stage, ranker, QUERIES, 0),
            "ranker": reranked_run(real, ranker, QUERIES, 4),
            "encoded": encoded_run(tiny_model, corpus, QUERIES),
        }

    return make


def figures(corpus: Corpus, runs: dict[str, Run]) -> dict[str, Any]:
    qrels = {query: {corpus.first_id(corpus.ids[row]): 1 for row in rows} for query, rows in GOLD.items()}
    return {name: per_query(run, qrels, MEASURES) for name, run in runs.items()}


def test_figures_are_the_same_however_ids_are_spelled(runs_of: Callable[[Corpus], dict[str, Run]]) -> None:
    found = []
    for seed in range(3):
        ids = random.Random(seed).sample([f"p{number}" for number in range(100)], len(TEXTS))
        corpus = Corpus(ids, [""] * len(ids), TEXTS)
        found.append(figures(corpus, runs_of(corpus)))
    assert found[0] == found[1] == found[2]
    assert tuple(found[0]) == SYSTEMS


def test_the_same_text_under_other_ids_changes_no_figure_and_is_found_once(
    runs_of: Callable[[Corpus], dict[str, Run]],
) -> None:
    ids = [*"abcdef", "z", "Y", "0"]
    corpus = Corpus(ids, [""] * 9, [*TEXTS, TEXTS[1].upper(), f" {TEXTS[4]}\n", TEXTS[1]])
    runs = runs_of(corpus)
    for run in runs.values():
        assert all(set(scores) <= set("abcdef") for scores in run.values())
    once = Corpus("abcdef", [""] * 6, TEXTS)
    alone = figures(once, runs_of(once))
    for name in set(SYSTEMS) - {"bm25", "fused"}:  # how rare a word is follows from the whole corpus
        assert figures(corpus, runs)[name] == alone[name]


def test_a_tool_that_breaks_ties_by_id_finds_our_figures(
    runs_of: Callable[[Corpus], dict[str, Run]], tmp_path: Path
) -> None:
    corpus = Corpus("abcdef", [""] * 6, TEXTS)
    qrels: Qrels = {query: {corpus.ids[row]: 1 for row in rows} for query, rows in GOLD.items()}
    write_qrels(qrels, tmp_path / "qrels.trec")
    for name, run in runs_of(corpus).items():
        write_run(run, tmp_path / f"{name}.trec", name)
        with (tmp_path / "qrels.trec").open() as judged, (tmp_path / f"{name}.trec").open() as ranked:
            evaluator = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(judged), {"ndcg_cut.10", "recip_rank"})
            theirs = evaluator.evaluate(pytrec_eval.parse_run(ranked))
        ours = per_query(run, qrels, ["nDCG@10", "MRR@10"])
        for query_id, values in theirs.items():
            assert values["ndcg_cut_10"] == pytest.approx(ours["nDCG@10"][query_id], abs=1e-6)
            assert values["recip_rank"] == pytest.approx(ours["MRR@10"][query_id], abs=1e-6)


@pytest.mark.parametrize("scores", [[1.0, 1.0, 1.0], [0.0, -0.0, 0.0], [1.0, 1.0 + 1e-9, 1.0], [-5.0, -5.0, -6.0]])
def test_scores_of_a_run_fall_in_its_order_in_single_precision(scores: list[float]) -> None:
    run = break_ties("abc", scores)
    assert rank_order(run) == ["a", "b", "c"]
    assert list(run.values()) == pytest.approx(scores, abs=1e-6)


def test_scores_without_ties_stay_what_they_are() -> None:
    assert break_ties("abc", [0.3, 0.2, -1.5]) == {"a": 0.3, "b": 0.2, "c": -1.5}


def test_links_of_the_chain_are_the_same_however_ids_are_spelled() -> None:
    def ndcg(ids: str) -> dict[str, float]:
        chain = {name: {"q": dict.fromkeys(ids, 0.5)} for name in ("teacher", "retriever")}
        group = attribute("q", chain, {"q": {ids[1]: 1}}, proof=True, temperatures=dict.fromkeys(chain, 1.0))
        assert group.links[0].tau is None  # to which ties stay ties
        return group.ndcg

    assert ndcg("abc") == ndcg("cba") == ndcg("bca")
