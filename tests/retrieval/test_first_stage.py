"""The first stage finds candidates, and its scores are what they claim to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rankstill.config import CandidatesConfig
from rankstill.data import Corpus
from rankstill.retrieval import (
    FEATURES,
    FirstStage,
    PassageScorer,
    encode_passages,
    load_vectors,
    nearest_passages,
    read_candidates,
    write_candidates,
)
from rankstill.retrieval.dense import encode
from rankstill.retrieval.first_stage import top

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset

pytestmark = pytest.mark.usefixtures("full_precision")

QUERIES = ["how does magma of the volcano change", "yeast and flour", "something else entirely"]


def first_stage_over(corpus: Corpus, model: SentenceTransformer, folder: Path) -> FirstStage:
    encode_passages(model, corpus, folder)
    return FirstStage(corpus, model, load_vectors(folder), CandidatesConfig())


def test_each_feature_is_the_score_that_it_names(toy_first_stage: FirstStage) -> None:
    corpus, model = toy_first_stage.corpus, toy_first_stage.model
    for query, found in zip(QUERIES, toy_first_stage.search(QUERIES, 60), strict=True):
        asked = model.encode_query([query], normalize_embeddings=True)[0]
        texts = corpus.texts(found.positions)
        lexical = toy_first_stage.bm25.statistics.scores(query, texts) * 0.1
        assert FEATURES == ("dense", "bm25")
        np.testing.assert_allclose(found.features[:, 0], model.encode_document(texts) @ asked, atol=1e-5)
        np.testing.assert_allclose(found.features[:, 1], lexical, atol=1e-5)


def test_candidates_are_the_fusion_of_the_dense_and_the_lexical_ranking(toy_first_stage: FirstStage) -> None:
    (found,) = toy_first_stage.search([QUERIES[0]], 60)
    ((dense, _),) = toy_first_stage.top([QUERIES[0]], 60, lexical=False)
    every_bm25 = toy_first_stage.bm25.scores(QUERIES[0])
    lexical = sorted(range(60), key=lambda position: (-every_bm25[position], position))
    gains = {p: 1 / (61 + dense.tolist().index(p)) + 1 / (61 + lexical.index(p)) for p in range(60)}
    assert found.positions.tolist() == sorted(gains, key=lambda p: (-gains[p], p))
    assert found.fused.tolist() == pytest.approx([gains[p] for p in found.positions])


def test_features_of_given_passages_are_those_that_searching_gives(toy_first_stage: FirstStage) -> None:
    found = list(toy_first_stage.search(QUERIES, 20))
    shuffled = [np.random.default_rng(0).permutation(20) for _ in found]
    positions = [each.positions[order] for each, order in zip(found, shuffled, strict=True)]
    for each, order, features in zip(found, shuffled, toy_first_stage.features(QUERIES, positions), strict=True):
        np.testing.assert_allclose(features, each.features[order], atol=1e-6)


@pytest.mark.parametrize("place", ["cpu", "meta"])
def test_passages_are_searched_by_the_device_that_the_model_is_on(
    place: str, toy_first_stage: FirstStage, tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []

    def searching(*given: Any) -> Any:
        devices.append(given[3])
        return nearest_passages(*given)

    monkeypatch.setattr("rankstill.retrieval.first_stage.nearest_passages", searching)
    corpus, bm25 = toy_first_stage.corpus, toy_first_stage.bm25
    stage = FirstStage(corpus, tiny_model.to(place), toy_first_stage.vectors, CandidatesConfig(), bm25=bm25)
    asked = [corpus.titles[5]]
    encoded = encode(toy_first_stage.model, asked, "query", "encoding")
    monkeypatch.setattr("rankstill.retrieval.first_stage.encode", lambda *_: encoded)  # none can be on the meta device
    (found,), (same,) = stage.search(asked, 5), toy_first_stage.search(asked, 5)
    assert found.positions.tolist() == same.positions.tolist()
    list(stage.top(asked, 5, lexical=False))
    assert devices == [place, "cpu", place]


def test_more_candidates_than_passages_gives_all_passages(toy_first_stage: FirstStage) -> None:
    (found,) = toy_first_stage.search([QUERIES[0]], 1000)
    assert sorted(found.positions) == list(range(60))


def test_as_many_candidates_as_asked_for_however_many(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    numbers = [f"passage number {number} of the volcano" for number in range(300)]
    corpus = Corpus([str(number) for number in range(300)], [""] * 300, numbers)
    (found,) = first_stage_over(corpus, tiny_model, tmp_path).search(["volcano"], 250)
    assert len(set(found.positions.tolist())) == 250


def test_every_query_of_many_gets_its_own_candidates(toy_first_stage: FirstStage, toy_dataset: Dataset) -> None:
    texts = [query.text for query in toy_dataset.queries.values()] * 5  # more than are scored at once
    found = list(toy_first_stage.search(texts, 3))
    assert len(found) == len(texts) == 160
    for row in (0, 64, 159):
        (alone,) = toy_first_stage.search([texts[row]], 3)
        assert found[row].positions.tolist() == alone.positions.tolist()


def test_top_by_bm25_leaves_out_what_shares_no_term(toy_first_stage: FirstStage) -> None:
    ((positions, scores),) = toy_first_stage.top(["magma"], 60, lexical=True)
    with_magma = {p for p in range(60) if "magma" in toy_first_stage.corpus.text(p).lower()}
    assert set(positions.tolist()) == with_magma
    assert (np.diff(scores) <= 0).all()


def test_top_by_cosine_ranks_by_cosine(toy_first_stage: FirstStage) -> None:
    ((positions, scores),) = toy_first_stage.top([QUERIES[1]], 7, lexical=False)
    asked = encode(toy_first_stage.model, [QUERIES[1]], "query", "encoding")[0]
    cosines = toy_first_stage.vectors @ asked
    assert positions.tolist() == np.argsort(-cosines, kind="stable")[:7].tolist()
    np.testing.assert_allclose(scores, cosines[positions], atol=1e-5)


def test_ties_stand_in_corpus_order_and_excluded_scores_are_left_out() -> None:
    scores = np.array([1.0, 3.0, 1.0, -np.inf, 3.0], dtype=np.float32)
    assert top(scores, 10).tolist() == [1, 4, 0, 2]
    assert top(scores, 2).tolist() == [1, 4]


def test_passages_given_as_text_score_as_in_the_corpus(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    bodies = [
        "The crater fills with lava after a while. Then ash falls on every roof of the town. Quiet.",
        "Yeast makes the dough of the bakery rise. Flour alone never does that on its own.",
        "Short one.",
        "The cello and the violin follow the score of the conductor.",
    ]
    corpus = Corpus(list("abcd"), [""] * 4, bodies)
    first_stage = first_stage_over(corpus, tiny_model, tmp_path / "vectors")
    PassageScorer(tiny_model, first_stage.bm25.statistics).save(tmp_path / "scorer")
    scorer = PassageScorer.load(tmp_path / "scorer", "cpu")
    for query, expected in zip(QUERIES, first_stage.features(QUERIES, [np.arange(4)] * 3), strict=True):
        np.testing.assert_allclose(scorer.features(query, bodies), expected, atol=1e-5)


def test_no_passages_have_no_features(toy_first_stage: FirstStage) -> None:
    scorer = PassageScorer(toy_first_stage.model, toy_first_stage.bm25.statistics)
    assert scorer.features("magma", []).shape == (0, 2)


def test_candidates_survive_their_table(toy_first_stage: FirstStage, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    found = dict(zip(["q1", "q2"], toy_first_stage.search(QUERIES[:2], 7), strict=True))
    path = tmp_path / "candidates.parquet"
    write_candidates(found, toy_first_stage.corpus, path)
    read = read_candidates(path, toy_first_stage.corpus)
    assert list(read) == ["q1", "q2"]
    for query_id, candidates in found.items():
        assert read[query_id].tolist() == candidates.positions.tolist()
    table = pq.read_table(path).to_pydict()
    assert table["rank"] == [*range(1, 8)] * 2
    for column, name in enumerate(FEATURES):
        expected = np.concatenate([candidates.features[:, column] for candidates in found.values()])
        assert table[name] == expected.tolist()
    assert table["fused"] == np.concatenate([candidates.fused for candidates in found.values()]).tolist()


def test_candidates_show_a_text_once_whatever_its_ids(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    texts = ["lava of the volcano", "LAVA  of the volcano", "yeast and flour", "lava of the volcano\n", "a harbour"]
    corpus = Corpus("abcde", [""] * 5, texts)
    stage = first_stage_over(corpus, tiny_model, tmp_path)
    (found,) = stage.search(["lava"], 5)
    assert sorted(found.positions.tolist()) == [0, 2, 4]
    for lexical in (False, True):
        ((positions, _),) = stage.top(["lava"], 5, lexical=lexical)
        assert set(positions.tolist()) <= {0, 2, 4}
