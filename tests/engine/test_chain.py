"""The chain's heavy steps by shards: the same vectors, candidates and labels as in one piece."""

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

from rankstill.config import CandidatesConfig
from rankstill.data import Dataset
from rankstill.engine import RayEngine, ShardFolder
from rankstill.engine.encoding import (
    Encoder,
    EncodeTask,
    corpus_tables,
    encode_corpus_on,
    read_corpus,
    vectors_in,
)
from rankstill.engine.finding import (
    FindTask,
    ScoreTask,
    SharedFirstStage,
    SharedRanker,
    _found_table,
    candidates_in,
    join_columns,
    queries_in,
    query_tables,
)
from rankstill.engine.folders import put_folder
from rankstill.labels import LabelledQuery, UnlabelledQuery, label, read_labels
from rankstill.labels.labelling import passages_of
from rankstill.labels.table import labels_in
from rankstill.ranker import Ranker
from rankstill.ranker.model import start_cross_encoder
from rankstill.ranker.prior import Prior
from rankstill.retrieval import FEATURES, FirstStage, load_vectors

NOTHING = np.empty(0, dtype=np.int64)
ROWS = 25  # passages a shard: two whole ones and a rest


@pytest.fixture
def corpus(toy_dataset: Dataset, tmp_path: Path) -> ShardFolder:
    shards = ShardFolder(str(tmp_path / "corpus"))
    shards.write_all(corpus_tables(toy_dataset.corpus, ROWS))
    return shards


@pytest.fixture
def queries(toy_dataset: Dataset, toy_first_stage: FirstStage) -> list[UnlabelledQuery]:
    """The training queries as an LLM ranked them, then those of the test as if unlabelled."""
    draw = np.random.default_rng(0)
    texts = toy_dataset.texts_of
    ranked = [
        UnlabelledQuery(each, text, "teacher", draw.permutation(60)[:5], NOTHING if number % 2 else np.array([7, 8]))
        for number, (each, text) in enumerate(zip(toy_dataset.train, texts(toy_dataset.train), strict=True))
    ]
    found = toy_first_stage.search(texts(toy_dataset.test), 9)
    extra = [
        UnlabelledQuery(each, text, "unranked", NOTHING, candidates.positions)
        for each, text, candidates in zip(toy_dataset.test, texts(toy_dataset.test), found, strict=True)
    ]
    return [*ranked, *extra]


def assert_same(one: LabelledQuery, other: LabelledQuery) -> None:
    assert replace(one, positions=NOTHING, scores=NOTHING) == replace(other, positions=NOTHING, scores=NOTHING)
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_vectors_candidates_and_labels_are_those_of_one_process(
    corpus: ShardFolder, queries: list[UnlabelledQuery], toy_first_stage: FirstStage, encoder: Encoder, tmp_path: Path
) -> None:
    engine = LocalEngine()
    encode_corpus_on(engine, encoder, corpus, ShardFolder(str(tmp_path / "shards")), tmp_path / "vectors")
    np.testing.assert_allclose(load_vectors(tmp_path / "vectors"), toy_first_stage.vectors, atol=1e-5)

    first_stage = SharedFirstStage(corpus, ShardFolder(str(tmp_path / "shards")), encoder, CandidatesConfig())
    asked = list(query_tables(queries, 20))
    searched = engine.map(FindTask(first_stage, 9), asked, ShardFolder(str(tmp_path / "searched")), "finding")
    candidates = toy_first_stage.search([each.text for each in queries], 9)
    for found, one in zip((each for shard in searched for each in candidates_in(shard)), candidates, strict=True):
        positions, features, fused = found
        np.testing.assert_array_equal(positions, one.positions)
        np.testing.assert_allclose(features, one.features, atol=1e-5)
        np.testing.assert_allclose(fused, one.fused, atol=1e-5)

    known = list(engine.map(FindTask(first_stage), asked, ShardFolder(str(tmp_path / "known")), "finding"))
    cross_encoder = start_cross_encoder(encoder.name, 64, "cpu")
    ranker = Ranker(Prior(FEATURES, (2.0, 5.0)), cross_encoder)
    ranker.save(tmp_path / "ranker")
    score = ScoreTask(SharedRanker(str(tmp_path / "ranker"), corpus, device="cpu"), "both")
    shards = ShardFolder(str(tmp_path / "labels"))
    list(engine.map(score, join_columns(asked, known), shards, "labelling"))
    labels = [each for name in shards.names() for each in read_labels(tmp_path / "labels" / name)]
    here = label(queries, toy_first_stage, ranker, tmp_path / "here", ranked_by="both")
    for one, other in zip(labels, here, strict=True):
        assert_same(one, other)


def kill_amid(log: Path, shards: int, workers: int) -> list[int]:
    """Kill the worker that began a shard last, once so many are begun by so many; its number comes into the list."""
    log.mkdir()
    killed: list[int] = []

    def kill() -> None:
        begun: list[int] = []
        while len(begun) < shards or len(set(begun)) < workers:
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
    killed = kill_amid(log, shards=2, workers=1)
    encode = FullPrecision(EncodeTask(encoder))
    kept = ShardFolder(str(tmp_path / "vectors"))
    engine = RayEngine(workers=1)  # to load the model takes longest
    made = list(engine.map(Slowly(encode, str(log), 0.5), corpus_tables(toy_dataset.corpus, 20), kept, "encoding"))
    assert len(killed) == 1
    assert len(list(log.iterdir())) == 4  # three shards, of which one was begun twice
    vectors = np.concatenate([vectors_in(shard) for shard in made])
    np.testing.assert_allclose(vectors, toy_first_stage.vectors, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_cross_encoders_labels_are_the_same_with_one_of_two_workers_killed_amid_them(
    ray_engine: RayEngine,
    corpus: ShardFolder,
    queries: list[UnlabelledQuery],
    toy_first_stage: FirstStage,
    encoder: Encoder,
    tmp_path: Path,
) -> None:
    cross_encoder = start_cross_encoder(encoder.name, 64, "cpu")
    torch.manual_seed(3)
    torch.nn.init.normal_(cross_encoder[2].linear.weight, std=0.7)  # at zero it would tell no passage from another
    Ranker(Prior(FEATURES, (2.0, 5.0)), cross_encoder).save(tmp_path / "ranker")
    shared = put_folder(tmp_path / "ranker", ShardFolder(f"file://{tmp_path}/shared"))  # each worker takes a copy
    score = ScoreTask(SharedRanker(shared, corpus, device="cpu"), "both")
    asked = list(query_tables(queries, 8))
    known = [_found_table(passages_of(queries_in(shard), toy_first_stage)) for shard in asked]
    work = list(join_columns(asked, known))

    log = tmp_path / "log"
    killed = kill_amid(log, shards=3, workers=2)
    slowly = Slowly(FullPrecision(score), str(log), 0.5)
    there = ray_engine.map(slowly, work, ShardFolder(str(tmp_path / "ray")), "labelling")
    here = LocalEngine().map(score, work, ShardFolder(str(tmp_path / "here")), "labelling")
    labels, expected = ([label for shard in made for label in labels_in(shard.to_batches())] for made in (there, here))
    assert len(killed) == 1
    assert len(list(log.iterdir())) == len(work) + 1  # the shard that was lost was begun twice
    assert len({path.name.split(".")[1] for path in log.iterdir()}) == 3  # two workers, and one in the dead one's place
    assert any(np.ptp(label.scores) > 0.5 for label in expected)
    for one, other in zip(labels, expected, strict=True):
        assert_same(one, other)


def test_queries_and_corpus_come_back_as_they_went(
    corpus: ShardFolder, queries: list[UnlabelledQuery], toy_dataset: Dataset
) -> None:
    there = read_corpus(corpus)
    assert (there.ids, there.titles, there.bodies) == (
        toy_dataset.corpus.ids,
        toy_dataset.corpus.titles,
        toy_dataset.corpus.bodies,
    )
    back = [query for shard in query_tables(queries, 20) for query in queries_in(shard)]
    for one, other in zip(back, queries, strict=True):
        assert replace(one, ranked=NOTHING, others=None) == replace(other, ranked=NOTHING, others=None)
        np.testing.assert_array_equal(one.ranked, other.ranked)
        assert (one.others is None) == (other.others is None)
