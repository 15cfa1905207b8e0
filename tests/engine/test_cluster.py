"""What a chain needs of a cluster, with everything that workers share in object storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from in_this_process import LocalEngine
from works import FullPrecision

from rankstill.components import Components
from rankstill.config import CandidatesConfig, Config
from rankstill.data import Dataset
from rankstill.engine import ShardFolder, Task
from rankstill.engine.cluster import Cluster
from rankstill.engine.encoding import Encoder
from rankstill.engine.folders import get_folder, put_folder
from rankstill.labels import UnlabelledQuery, label
from rankstill.ranker import Ranker
from rankstill.ranker.prior import Prior
from rankstill.retrieval import FEATURES, FirstStage, load_vectors
from rankstill.workspace import Workspace

NOTHING = np.empty(0, dtype=np.int64)


@dataclass
class Counting(LocalEngine):
    """The local engine in full precision; counts the shards that are made."""

    made: list[str] = field(default_factory=list)

    def fill(self, work: Task, source: ShardFolder, target: ShardFolder, what: str) -> None:
        self.made += [what] * len(set(source.names()) - set(target.names()))
        super().fill(FullPrecision(work), source, target, what)


@pytest.fixture
def store() -> ShardFolder:
    files = fsspec.filesystem("memory")
    if files.exists("/bucket"):
        files.rm("/bucket", recursive=True)
    return ShardFolder("memory://bucket/experiment")


def test_a_chain_on_a_store_that_is_no_disk_gets_what_it_gets_here(
    store: ShardFolder, toy_dataset: Dataset, toy_first_stage: FirstStage, encoder: Encoder, tmp_path: Path
) -> None:
    engine = Counting()
    cluster = Cluster(engine, store, toy_dataset.corpus, encoder, CandidatesConfig())
    cluster.encode_corpus(tmp_path / "vectors")
    np.testing.assert_allclose(load_vectors(tmp_path / "vectors"), toy_first_stage.vectors, atol=1e-5)
    texts = toy_dataset.texts_of(toy_dataset.train)
    for got, expected in zip(cluster.search(texts, 7), toy_first_stage.search(texts, 7), strict=True):
        np.testing.assert_array_equal(got.positions, expected.positions)
        np.testing.assert_allclose(got.features, expected.features, atol=1e-5)
        np.testing.assert_allclose(got.fused, expected.fused, atol=1e-6)
    ranker = Ranker(Prior(FEATURES, (2.0, 5.0)), None)
    ranker.save(tmp_path / "ranker")
    queries = [
        UnlabelledQuery(each, text, "teacher", np.array([3, 1, 2]), NOTHING)
        for each, text in zip(toy_dataset.train, texts, strict=True)
    ]
    labels = cluster.label(queries, tmp_path / "ranker", ranked_by="both")
    here = label(queries, toy_first_stage, ranker, tmp_path / "labels", ranked_by="both")
    for one, other in zip(labels, here, strict=True):
        assert (one.id, one.positions.tolist()) == (other.id, other.positions.tolist())
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)

    made = len(engine.made)
    again = Cluster(engine, store, toy_dataset.corpus, encoder, CandidatesConfig())
    again.encode_corpus(tmp_path / "again")
    assert len(engine.made) == made
    prompted = replace(encoder, passage_prompt="passage: ")
    Cluster(engine, store, toy_dataset.corpus, prompted, CandidatesConfig()).encode_corpus(tmp_path / "prompted")
    assert len(engine.made) > made


def test_parts_of_another_format_or_size_are_not_taken_for_these(
    store: ShardFolder, toy_dataset: Dataset, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> Counter[str]:
        cluster = Cluster(Counting(), store, toy_dataset.corpus, encoder, CandidatesConfig())
        cluster.encode_corpus(tmp_path / "vectors")
        list(cluster.search(["how does the magma change"], 3))
        names = (path.rsplit("/", 1)[-1] for path in fsspec.filesystem("memory").ls("/bucket/experiment", detail=False))
        return Counter(name.split("-")[0] for name in names if not name.endswith(".whole"))

    assert kept() == kept() == {"corpus": 1, "encoder": 1, "vectors": 1, "found": 1}
    monkeypatch.setattr("rankstill.engine.cluster.FORMAT", -1)
    assert kept() == kept() == {"corpus": 2, "encoder": 1, "vectors": 2, "found": 2}
    monkeypatch.setattr("rankstill.engine.cluster.PASSAGES_A_SHARD", 20)
    assert kept() == kept() == {"corpus": 3, "encoder": 1, "vectors": 3, "found": 3}


def test_a_store_that_is_a_relative_path_is_the_same_folder_for_every_worker(
    toy_config: Callable[..., Config], toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Components, "ray", LocalEngine())
    monkeypatch.chdir(tmp_path)
    for given, used in (("shared", str(tmp_path / "shared")), ("memory://bucket/x", "memory://bucket/x")):
        config = toy_config({"engine.kind": "ray", "engine.store": given})
        with Workspace(tmp_path / given.rpartition("/")[2]) as workspace:
            cluster = Components(config, workspace, toy_dataset).cluster
        assert cluster is not None
        assert cluster.store.url == used


def test_a_folder_comes_back_as_it_went(store: ShardFolder, tmp_path: Path) -> None:
    (tmp_path / "model" / "1_Pooling").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text('{"mean": true}')
    address = put_folder(tmp_path / "model", store / "model-1")
    back = Path(get_folder(address))
    assert {str(path.relative_to(back)) for path in back.rglob("*.json")} == {"config.json", "1_Pooling/config.json"}
    assert (back / "1_Pooling" / "config.json").read_text() == '{"mean": true}'


@pytest.mark.parametrize("name", ["sentence-transformers/all-MiniLM-L6-v2", "/a/folder"])
def test_what_names_no_other_place_is_left_as_it_is(name: str) -> None:
    assert get_folder(name) == name
