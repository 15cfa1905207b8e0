"""What a finished chain gives away."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from rankstill.config import Config
from rankstill.data import load_dataset
from rankstill.errors import DataError, RankstillError, WorkspaceError
from rankstill.evaluation.systems import MULTI_VECTOR_DISTILLED
from rankstill.extras.export import export_retriever, export_to_store, export_vectors, measure_truncation
from rankstill.extras.export.stores import to_qdrant
from rankstill.extras.export.vectors import Batch
from rankstill.models import load_multi_vector
from rankstill.multi_vector import TokenIndex, encode_queries
from rankstill.report.verdict import refuse_if_not_better
from rankstill.retrieval.bm25 import BM25Statistics
from rankstill.retrieval.hybrid import Hybrid
from rankstill.retrieval.hybrid.engines import QdrantNames, SparseTerms, qdrant_query
from rankstill.retrieval.late_interaction import mean_of

Finished = tuple[Config, Path]


def test_the_table_says_what_each_form_costs_and_brings(finished: Finished) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    config, folder = finished
    table = export_retriever(config, folder, ["onnx", "onnx-int8"], passages=20)
    forms = {form.name: form for form in table.forms}
    assert next(iter(forms)) == "torch"
    assert list(forms)[-2:] == ["onnx", "onnx-int8"]
    torch, onnx, small = forms["torch"], forms["onnx"], forms["onnx-int8"]
    assert torch.speed.ratio == torch.speed.low == 1.0
    assert torch.agreement.worst == pytest.approx(1.0, abs=1e-5)
    assert onnx.quality == torch.quality
    assert onnx.agreement.worst > 0.99999 > small.agreement.worst > 0.99
    assert onnx.comparison is not None
    assert onnx.comparison.difference == 0.0
    assert (table.queries, table.passages, table.corpus) == (8, 20, 60)
    assert (folder / "export" / "export.md").read_text(encoding="utf-8") == table.to_markdown()
    assert json.loads((folder / "export" / "export.json").read_text(encoding="utf-8"))["forms"][0]["name"] == "torch"
    assert {path.name for path in (folder / "export").iterdir()} >= {"retriever.py", "retriever.json", "tokenizer.json"}


def test_the_turned_retriever_loads_anywhere_and_gives_short_vectors(finished: Finished) -> None:
    from sentence_transformers import SentenceTransformer

    config, folder = finished
    table = measure_truncation(config, folder, [32, 16, 8], keep=16)
    assert [system.name.split(" ")[0] for system in table.systems] == ["32", "16", "16", "8", "8"]
    assert "| 8 dimensions (32 MB), cut off |" in (folder / "export" / "matryoshka.md").read_text(encoding="utf-8")
    texts = ["The magma of the volcano", "yeast and dough", "a crane"]
    before = SentenceTransformer(str(folder / "retriever"), device="cpu")
    short = SentenceTransformer(str(folder / "export" / "matryoshka"), device="cpu")
    whole = SentenceTransformer(str(folder / "export" / "matryoshka"), device="cpu", truncate_dim=32)
    assert short.encode_query(texts).shape == (3, 16)
    cosines = [model.similarity(model.encode_query(texts), model.encode_document(texts)) for model in (before, whole)]
    np.testing.assert_allclose(*cosines, atol=1e-4)  # turned alike, nothing changes


def vectors_in(path: Path) -> NDArray[np.float32]:
    return np.array(pq.read_table(path)["vector"].to_pylist(), dtype=np.float32)


def test_vectors_go_to_parquet_whole_or_short(finished: Finished, tmp_path: Path) -> None:
    config, folder = finished
    assert export_vectors(config, folder) == 60
    assert np.array_equal(
        vectors_in(folder / "export" / "vectors.parquet"), np.load(folder / "vectors-after" / "passages.npy")
    )
    export_vectors(config, folder, tmp_path / "short.parquet", dimensions=12)
    short = vectors_in(tmp_path / "short.parquet")
    assert short.shape == (60, 12)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1.0, atol=1e-5)
    with pytest.raises(RankstillError, match="cannot keep 33 dimensions of 32"):
        export_vectors(config, folder, tmp_path / "long.parquet", dimensions=33)


def test_vectors_go_to_a_store_by_its_name(finished: Finished, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    config, folder = finished
    assert export_to_store(config, folder, "qdrant", "toy", str(tmp_path)) == 60
    assert export_to_store(config, folder, "qdrant", "tokens", str(tmp_path), of="multi-vector") == 60
    with pytest.raises(RankstillError, match="--of multi-vector puts whole token vectors into qdrant or lancedb or"):
        export_to_store(config, folder, "pgvector", "tokens", "", of="multi-vector")
    with pytest.raises(RankstillError, match=r"PLAID indexes token vectors\. Add --of multi-vector\."):
        export_to_store(config, folder, "plaid", "toy", "")
    with pytest.raises(RankstillError, match=r"no database oracle\. Use parquet or one of qdrant, lancedb, pgvector"):
        export_to_store(config, folder, "oracle", "toy", "")


@pytest.mark.parametrize(
    ("of", "fitted", "encoder", "names"),
    [
        ("multi-vector", "hybrid-multi-vector.json", "vectors", QdrantNames()),
        ("retriever", "hybrid-distilled.json", "vectors-after", QdrantNames(vector="")),
    ],
)
def test_an_exported_collection_answers_the_hybrids_query(
    finished: Finished, tmp_path: Path, of: str, fitted: str, encoder: str, names: QdrantNames
) -> None:
    qdrant = pytest.importorskip("qdrant_client")
    config, folder = finished
    assert export_to_store(config, folder, "qdrant", "toy", str(tmp_path), of=of) == 60
    hybrid = replace(Hybrid.load(folder / fitted), dense=0.5, bm25=2.0, late=3.0 if of == "multi-vector" else 0.0)
    statistics = BM25Statistics.load(folder / "bm25" / "statistics.json")
    passages = load_dataset(config.dataset).corpus
    vector = np.load(folder / encoder / "passages.npy")[7]
    late = load_multi_vector(str(folder / "multi-vector")) if of == "multi-vector" else None
    asked = passages.texts([7])[0]
    tokens = encode_queries(late, [asked])[0] if late else None
    body = qdrant_query(hybrid, vector, SparseTerms(statistics).query(asked), tokens, names=names, limit=60)
    request = qdrant.models.QueryRequest.model_validate(body)
    client = qdrant.QdrantClient(path=str(tmp_path))
    found = client.query_points("toy", query=request.query, prefetch=request.prefetch, limit=60).points
    client.close()
    texts = list(passages.texts(range(60)))
    lexical = statistics.scores(asked, texts)
    scores = 0.5 * np.load(folder / encoder / "passages.npy") @ vector + 2.0 * lexical
    if tokens is not None:
        (maxsim,) = TokenIndex.load(folder / "multi-vector-index").scores([tokens])
        scores = scores + 3.0 * mean_of(tokens, maxsim)
    by_text = {point.payload["text"]: point.score for point in found}
    assert [by_text[text] for text in texts] == pytest.approx(scores.tolist(), abs=2e-2)  # MaxSim here is in bfloat16
    with pytest.raises(DataError, match=r"holds other vectors \(.*terms sparse; here 5 dimensions\)"):
        to_qdrant([Batch(("a",), ("b",), np.eye(5, dtype=np.float32)[:1])], "toy", location=str(tmp_path))


def test_only_a_retriever_that_the_run_made_goes_out(finished: Finished, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    config, folder = finished
    store = tmp_path / "qdrant"
    with pytest.raises(WorkspaceError, match=r"there is no multi-vector-distilled\. Run with multi_vector\.epochs: 2"):
        export_to_store(config, folder, "qdrant", "toy", str(store), of="multi-vector-distilled")
    assert not store.exists()
    with pytest.raises(RankstillError, match="its last run made no distilled multi-vector"):
        refuse_if_not_better(folder, MULTI_VECTOR_DISTILLED)


def test_token_vectors_go_to_lancedb(finished: Finished, tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason='needs pip install "rankstill[lancedb]"')
    config, folder = finished
    assert export_to_store(config, folder, "lancedb", "tokens", str(tmp_path), of="multi-vector") == 60


def test_token_vectors_go_to_plaid_and_its_recall_is_said(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fast_plaid", reason="needs fast-plaid and its torch: make test-plaid")
    config, folder = finished
    assert export_to_store(config, folder, "plaid", "tokens", str(tmp_path), of="multi-vector") == 60
    said = "".join(capsys.readouterr())
    found = re.search(r"PLAID finds (0\.\d+|1\.000) of the exact best 10 by MaxSim, measured on (\d+) of your", said)
    assert found is not None
    assert float(found[1]) > 0.6


def test_a_short_retriever_is_exported_short(finished: Finished) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from rankstill.extras.export.standalone import Retriever

    config, folder = finished
    table = export_retriever(config, folder, ["onnx"], dimensions=12, passages=10)
    assert table.forms[-1].agreement.worst > 0.99999
    assert Retriever(folder / "export", "onnx").encode_queries(["magma"]).shape == (1, 12)


Export = Callable[[Config, Path], object]
EXPORTS: dict[str, Export] = {
    "forms": lambda config, folder: export_retriever(config, folder, ["onnx"]),
    "matryoshka": measure_truncation,
    "parquet": export_vectors,
    "store": lambda config, folder: export_to_store(config, folder, "qdrant", "toy", ""),
}


@pytest.mark.parametrize("form", EXPORTS)
def test_a_retriever_of_other_judgements_is_not_trained_anew_but_refused(
    form: str, finished: Finished, toy_config: Callable[..., Config], toy_dataset_folder: Path, tmp_path: Path
) -> None:
    if form == "forms":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    _, folder = finished
    judged = shutil.copytree(toy_dataset_folder, tmp_path / "judged")
    qrels = judged / "qrels" / "test.tsv"
    qrels.write_text("\n".join(qrels.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    config = toy_config(source=judged)
    held = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "export" not in path.parts}
    with pytest.raises(WorkspaceError, match=r"settings or data have changed since .*`rankstill run` first"):
        EXPORTS[form](config, folder)
    assert {path: path.stat().st_mtime_ns for path in held} == held  # its config.yaml too


def test_what_was_not_finished_is_not_made_to_be_exported(finished: Finished, tmp_path: Path) -> None:
    config, folder = finished
    copied = shutil.copytree(folder, tmp_path / "w")
    manifest = json.loads((copied / "manifest.json").read_text(encoding="utf-8"))
    del manifest["steps"]["retriever"]
    (copied / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r'step "train-retriever" is not finished\. `rankstill run` first'):
        export_vectors(config, copied)
    with pytest.raises(WorkspaceError, match=r"no workspace of a run\. `rankstill run` first"):
        export_vectors(config, tmp_path / "none")
    assert not (tmp_path / "none").exists()
