"""The chain's heavy steps by parts: the same vectors, candidates and labels as in one piece."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from in_this_process import LocalEngine
from works import FullPrecision, Slowly

from rankstill.candidates import FEATURES, FirstStage, load_vectors
from rankstill.config import CandidatesConfig
from rankstill.datasets import Dataset
from rankstill.engine import PartFolder, RayEngine
from rankstill.engine.encoding import (
    Encode,
    Encoder,
    corpus_tables,
    encode_corpus_on,
    read_corpus,
    vectors_in,
)
from rankstill.engine.finding import Find, SharedFirstStage, _found_table, found_in, queries_in, query_tables
from rankstill.engine.folders import put_folder
from rankstill.engine.scoring import Score, SharedRanker, beside, labels_in
from rankstill.labels import LabelledQuery, Unlabelled, label, read_labels
from rankstill.labels.labelling import passages_of
from rankstill.ranker import Prior, Ranker
from rankstill.ranker.model import start_cross_encoder

NOTHING = np.empty(0, dtype=np.int64)
ROWS = 25  # passages a part: two whole ones and a rest


@pytest.fixture
def corpus(toy_dataset: Dataset, tmp_path: Path) -> PartFolder:
    parts = PartFolder(str(tmp_path / "corpus"))
    parts.write_all(corpus_tables(toy_dataset.corpus, ROWS))
    return parts


@pytest.fixture
def queries(toy_dataset: Dataset) -> list[Unlabelled]:
    """The training queries as an LLM ranked them, then those of the test as if unlabelled."""
    draw = np.random.default_rng(0)
    texts = toy_dataset.texts_of
    ranked = [
        Unlabelled(each, text, "teacher", draw.permutation(60)[:5], NOTHING if number % 2 else np.array([7, 8]))
        for number, (each, text) in enumerate(zip(toy_dataset.train, texts(toy_dataset.train), strict=True))
    ]
    extra = [Unlabelled(each, toy_dataset.queries[each].text, "extra", NOTHING) for each in toy_dataset.test]
    return [*ranked, *extra]


def assert_same(one: LabelledQuery, other: LabelledQuery) -> None:
    assert replace(one, positions=NOTHING, scores=NOTHING) == replace(other, positions=NOTHING, scores=NOTHING)
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_vectors_candidates_and_labels_are_those_of_one_process(
    corpus: PartFolder, queries: list[Unlabelled], toy_first_stage: FirstStage, encoder: Encoder, tmp_path: Path
) -> None:
    engine = LocalEngine()
    encode_corpus_on(engine, encoder, corpus, PartFolder(str(tmp_path / "parts")), tmp_path / "vectors")
    np.testing.assert_allclose(load_vectors(tmp_path / "vectors"), toy_first_stage.vectors, atol=1e-5)

    first_stage = SharedFirstStage(corpus, PartFolder(str(tmp_path / "parts")), encoder, CandidatesConfig())
    asked = list(query_tables(queries, 20))
    found = list(engine.map(Find(first_stage, 9), asked, PartFolder(str(tmp_path / "found")), "finding"))
    searched = [each for each in queries if each.source != "teacher"]
    candidates = toy_first_stage.search([each.text for each in searched], 9)
    by_id = dict(zip((each.id for each in queries), (each for part in found for each in found_in(part)), strict=True))
    for query, one in zip(searched, candidates, strict=True):
        positions, features, fused = by_id[query.id]
        np.testing.assert_array_equal(positions, one.positions)
        np.testing.assert_allclose(features, one.features, atol=1e-5)
        np.testing.assert_allclose(fused, one.fused, atol=1e-5)

    cross_encoder = start_cross_encoder(encoder.name, 64, "cpu")
    ranker = Ranker(Prior(FEATURES, (2.0, 5.0)), cross_encoder)
    ranker.save(tmp_path / "ranker")
    score = Score(SharedRanker(str(tmp_path / "ranker"), corpus, device="cpu"), "both")
    parts = PartFolder(str(tmp_path / "labels"))
    list(engine.map(score, beside(asked, found), parts, "labelling"))
    labels = [each for name in parts.names() for each in read_labels(tmp_path / "labels" / name)]
    here = label(queries, toy_first_stage, ranker, tmp_path / "here", depth=9, ranked_by="both")
    for one, other in zip(labels, here, strict=True):
        assert_same(one, other)


def kill_amid(log: Path, parts: int, workers: int) -> list[int]:
    """Kill the worker that began a part last, once so many are begun by so many; its number comes into the list."""
    log.mkdir()
    killed: list[int] = []

    def kill() -> None:
        begun: list[int] = []
        while len(begun) < parts or len(set(begun)) < workers:
            time.sleep(0.02)
            begun = [int(path.name.split(".")[1]) for path in sorted(log.iterdir(), key=_begun_at)]
        killed.append(begun[-1])
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    return killed


def _begun_at(note: Path) -> int:
    return note.stat().st_mtime_ns


def test_vectors_are_the_same_with_a_worker_killed_amid_them(
    ray_engine: RayEngine,
    toy_dataset: Dataset,
    toy_first_stage: FirstStage,
    encoder: Encoder,
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    killed = kill_amid(log, parts=2, workers=1)
    encode = FullPrecision(Encode(encoder))
    kept = PartFolder(str(tmp_path / "vectors"))
    engine = RayEngine(workers=1)  # to load the model takes longest
    made = list(engine.map(Slowly(encode, str(log), 0.5), corpus_tables(toy_dataset.corpus, 20), kept, "encoding"))
    assert len(killed) == 1
    assert len(list(log.iterdir())) == 4  # three parts, of which one was begun twice
    vectors = np.concatenate([vectors_in(part) for part in made])
    np.testing.assert_allclose(vectors, toy_first_stage.vectors, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_cross_encoders_labels_are_the_same_with_one_of_two_workers_killed_amid_them(
    ray_engine: RayEngine,
    corpus: PartFolder,
    queries: list[Unlabelled],
    toy_first_stage: FirstStage,
    encoder: Encoder,
    tmp_path: Path,
) -> None:
    cross_encoder = start_cross_encoder(encoder.name, 64, "cpu")
    torch.manual_seed(3)
    torch.nn.init.normal_(cross_encoder[2].linear.weight, std=0.7)  # at zero it would tell no passage from another
    Ranker(Prior(FEATURES, (2.0, 5.0)), cross_encoder).save(tmp_path / "ranker")
    shared = put_folder(tmp_path / "ranker", PartFolder(f"file://{tmp_path}/shared"))  # each worker takes a copy
    score = Score(SharedRanker(shared, corpus, device="cpu"), "both")
    asked = list(query_tables(queries, 8))
    found = [_found_table(passages_of(queries_in(part), toy_first_stage, 9)) for part in asked]
    work = list(beside(asked, found))

    log = tmp_path / "log"
    killed = kill_amid(log, parts=3, workers=2)
    slowly = Slowly(FullPrecision(score), str(log), 0.5)
    there = ray_engine.map(slowly, work, PartFolder(str(tmp_path / "ray")), "labelling")
    here = LocalEngine().map(score, work, PartFolder(str(tmp_path / "here")), "labelling")
    labels, expected = ([label for part in made for label in labels_in(part)] for made in (there, here))
    assert len(killed) == 1
    assert len(list(log.iterdir())) == len(work) + 1  # the part that was lost was begun twice
    assert len({path.name.split(".")[1] for path in log.iterdir()}) == 3  # two workers, and one in the dead one's place
    assert any(np.ptp(label.scores) > 0.5 for label in expected)
    for one, other in zip(labels, expected, strict=True):
        assert_same(one, other)


def test_queries_and_corpus_come_back_as_they_went(
    corpus: PartFolder, queries: list[Unlabelled], toy_dataset: Dataset
) -> None:
    there = read_corpus(corpus)
    assert (there.ids, there.titles, there.bodies) == (
        toy_dataset.corpus.ids,
        toy_dataset.corpus.titles,
        toy_dataset.corpus.bodies,
    )
    back = [query for part in query_tables(queries, 20) for query in queries_in(part)]
    for one, other in zip(back, queries, strict=True):
        assert replace(one, ranked=NOTHING, others=None) == replace(other, ranked=NOTHING, others=None)
        np.testing.assert_array_equal(one.ranked, other.ranked)
        assert (one.others is None) == (other.others is None)
