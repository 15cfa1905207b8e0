"""A chain that starts from a ColBERT model: with a projection, query expansion, markers and lengths of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import rankstill
from rankstill.compute.training_mode import reading_at_most
from rankstill.config import Config
from rankstill.config.unused import unused_options
from rankstill.errors import ModelError
from rankstill.forecast import expected_seconds
from rankstill.models import load_multi_vector, save_model
from rankstill.multi_vector import TokenIndex
from rankstill.multi_vector.model import every_token, shortened, with_pooling
from rankstill.multi_vector.student import MULTI_VECTOR
from rankstill.pipeline import open_chain
from rankstill.retriever.loss import DistillationLoss

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

pytestmark = pytest.mark.usefixtures("full_precision")

QUERIES = ["magma of the volcano", "yeast"]
PASSAGES = ["lava, of the crater", "flour and yeast " * 9, "tide"]
SIZE, EXPANDED, OF_PASSAGES = 16, 12, 20


@pytest.fixture
def colbert(tiny_model: SentenceTransformer) -> MultiVectorEncoder:
    """Small, but with every part that ColBERT has."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    transformer = tiny_model[0]
    transformer.query_expansion = {"strategy": "fixed", "attend": False, "length": EXPANDED}
    transformer.document_length = OF_PASSAGES
    turn = np.random.default_rng(3).normal(size=(SIZE, 32)).astype(np.float32)
    projection = Dense(
        32,
        SIZE,
        bias=False,
        activation_function=None,
        init_weight=torch.from_numpy(turn),
        module_input_name="token_embeddings",
    )
    modules = [transformer, projection, MultiVectorMask([",", "."]), Normalize("token_embeddings")]
    prompts = {"query": "the ", "document": "score "}
    return MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").eval()


@pytest.fixture
def folder(colbert: MultiVectorEncoder, tmp_path: Path) -> str:
    save_model(colbert, tmp_path / "colbert")
    return str(tmp_path / "colbert")


def test_the_loss_matches_what_the_model_itself_encodes(colbert: MultiVectorEncoder) -> None:
    labels = torch.tensor([[2.0, 0.5, 1.0], [0.1, 3.0, -1.0]])
    asked = colbert.encode_query(QUERIES)
    assert {len(each) for each in asked} == {EXPANDED}  # mask tokens count, though nothing attends to them
    maxsim = colbert.similarity(asked, colbert.encode_document(PASSAGES)) / EXPANDED
    expected = torch.nn.functional.kl_div(
        torch.log_softmax(maxsim / 0.05, dim=1), torch.softmax(labels, dim=1), reduction="none"
    ).sum(dim=1)
    options: dict[str, Any] = {"teacher_temperature": 1.0, "student_temperature": 0.05, "in_batch": True}
    with torch.no_grad():
        texts = [
            colbert.preprocess(each, task=task, prompt=colbert.prompts[task])
            for each, task in ((QUERIES, "query"), (PASSAGES, "document"))
        ]
        loss = DistillationLoss(colbert, MULTI_VECTOR, micro_batch=1, **options)(texts, labels)["kl"]
    assert loss.item() == pytest.approx(float(expected.mean()), rel=1e-4)


def test_texts_are_shorter_in_training_alone(colbert: MultiVectorEncoder) -> None:
    (whole,) = colbert.encode_document([PASSAGES[1]])
    with reading_at_most(colbert, 16):
        (cut,) = colbert.encode_document([PASSAGES[1]])
        assert len(colbert.encode_query(["yeast"])[0]) == EXPANDED
    assert (len(cut), len(whole)) == (16, OF_PASSAGES)
    assert len(colbert.encode_document([PASSAGES[1]])[0]) == OF_PASSAGES


def test_it_is_pooled_as_configured_and_not_in_training(colbert: MultiVectorEncoder) -> None:
    pooled = with_pooling(with_pooling(colbert, 4.0), 2.0)  # its own pooling is replaced
    (whole,), (half,) = (model.encode_document([PASSAGES[1]]) for model in (colbert, pooled))
    assert len(half) == 1 + (len(whole) - 1) // 2  # the first token stays
    with every_token(pooled):
        assert torch.equal(pooled.encode_document([PASSAGES[1]])[0], whole)
    assert torch.equal(pooled.encode_query(QUERIES)[0], colbert.encode_query(QUERIES)[0])


def test_shorter_vectors_are_taken_after_its_projection_and_keep_its_prompts(colbert: MultiVectorEncoder) -> None:
    short = shortened(colbert, np.eye(SIZE, dtype=np.float32)[:8])
    expected = torch.nn.functional.normalize(colbert.encode_document([PASSAGES[0]])[0][:, :8], dim=1)
    torch.testing.assert_close(short.encode_document([PASSAGES[0]])[0], expected, atol=1e-5, rtol=0)


def test_a_chain_improves_it_and_saves_it_for_plain_sentence_transformers(
    toy_config: Callable[..., Config], folder: str, tmp_path: Path
) -> None:
    changes = {"multi_vector.model": folder, "multi_vector.epochs": 1, "multi_vector.learning_rate": 1e-3}
    config = toy_config({**changes, "multi_vector.pooling": 1.0, "multi_vector.bits": 8})
    outcome = rankstill.distill(config, tmp_path / "w")
    assert outcome.table is not None
    expected = {"multi-vector", "multi-vector hybrid", "distilled multi-vector", "distilled multi-vector hybrid"}
    assert expected <= {system.name for system in outcome.table.systems}
    before, after = (
        load_multi_vector(str(tmp_path / "w" / name), "cpu") for name in ("multi-vector", "multi-vector-distilled")
    )
    own = load_multi_vector(folder, "cpu")
    assert torch.equal(before.encode_document(PASSAGES)[0], own.encode_document(PASSAGES)[0])
    moved = (after.encode_document(PASSAGES)[0] - own.encode_document(PASSAGES)[0]).abs().max()
    assert float(moved) > 1e-3
    assert TokenIndex.load(tmp_path / "w" / "multi-vector-distilled-index").codec.dimensions == SIZE
    card = (tmp_path / "w" / "multi-vector-distilled" / "README.md").read_text(encoding="utf-8")
    assert f"base_model: {folder}" in card
    assert "inverse document frequency" not in card
    alone = (
        "import sys; sys.modules['rankstill'] = None\n"
        "from sentence_transformers import MultiVectorEncoder\n"
        f"model = MultiVectorEncoder({str(tmp_path / 'w' / 'multi-vector-distilled')!r}, device='cpu')\n"
        f"print(model.similarity(model.encode_query({QUERIES!r}), model.encode_document({PASSAGES!r})).tolist())\n"
    )
    said = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True).stdout
    similar = after.similarity(after.encode_query(QUERIES), after.encode_document(PASSAGES))
    np.testing.assert_allclose(json.loads(said.splitlines()[-1]), similar.tolist(), atol=1e-4)


def as_pylate_saves_it(folder: Path) -> None:
    """The same model in the format of PyLate's third version: two modules, and the rest in one file."""
    config = {
        "model_type": "ColBERT",
        "query_prefix": "the ",
        "document_prefix": "score ",
        "query_length": EXPANDED,
        "document_length": OF_PASSAGES,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
        "skiplist_words": [",", "."],
    }
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config), encoding="utf-8")
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))[:2]
    modules[1]["type"] = "pylate.models.Dense.Dense"
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def test_a_model_that_pylate_saved_is_read(folder: str, colbert: MultiVectorEncoder) -> None:
    as_pylate_saves_it(Path(folder))
    read = load_multi_vector(folder, "cpu")
    assert {len(each) for each in read.encode_query(QUERIES)} == {EXPANDED}
    assert read.encode_document([PASSAGES[0]])[0].shape == colbert.encode_document([PASSAGES[0]])[0].shape


def test_a_bi_encoder_in_its_place_is_refused_before_anything_is_run(
    toy_config: Callable[..., Config], tiny_model_folder: Path, tmp_path: Path
) -> None:
    config = toy_config({"multi_vector.model": str(tiny_model_folder)})
    with pytest.raises(ModelError, match="is no multi-vector retriever"):
        rankstill.distill(config, tmp_path / "w")
    assert not (tmp_path / "w" / "vectors").exists()


def test_what_the_rankings_choose_for_an_encoder_is_an_error_beside_it(toy_config: Callable[..., Config]) -> None:
    config = toy_config({"multi_vector.model": "colbert-ir/colbertv2.0", "multi_vector.context": 1.0})
    assert unused_options(config) == {"multi_vector.context": "multi_vector.model is set"}


def test_a_forecast_counts_the_work_of_its_own_weights(
    toy_config: Callable[..., Config], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.forecast._seconds_a_passage", lambda _: 1e9)
    found = []
    for name, changes in (("own", {}), ("other", {"multi_vector.model": folder})):
        with open_chain(toy_config(changes), tmp_path / name) as chain:
            found.append(expected_seconds(chain.components, chain.planned())["token_index"])
    a_layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32
    layers = 2 * a_layer + 32 * 32 + 32  # two, and BERT's pooler
    assert found[1] / found[0] == pytest.approx((layers + SIZE * 32) / layers)
