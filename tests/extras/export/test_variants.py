"""The retriever in other forms: the same vectors, from a folder that needs neither torch nor this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rankstill.errors import ModelError, RankstillError
from rankstill.extras.export.standalone import Retriever
from rankstill.extras.export.variants import VARIANTS, check_variants, write_variants

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset

ODD = ["  spaced out ", "Ünïcode — 火山 🌋", "lava " * 300, "a", "", "magma and crater", "The VOLCANO's lava?"]
"""Texts that a tokenizer of another make could read in another way."""
LEAST = {"onnx": 0.99999, "openvino": 0.999, "onnx-int8": 0.99, "openvino-int8": 0.95}
"""Lowest cosine with the model's own vector; OpenVINO computes in bfloat16 where that is native."""


def written(folder: Path) -> list[str]:
    return list(json.loads((folder / "retriever.json").read_text(encoding="utf-8"))["variants"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_queries_and_passages_get_the_vectors_that_the_model_gives(
    variant: str, exported: Path, headed: SentenceTransformer, toy_dataset: Dataset
) -> None:
    if variant not in written(exported):
        pytest.skip(f'{variant} needs pip install "rankstill[export]"')
    retriever = Retriever(exported, variant, threads=1)
    texts = [*ODD, *toy_dataset.corpus.texts()]
    for given, own in (
        (retriever.encode_documents(texts, batch_size=5), headed.encode_document(texts)),
        (retriever.encode_queries(texts), headed.encode_query(texts)),
    ):
        np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1.0, atol=1e-3)
        cosines = (given * own).sum(axis=1) / np.linalg.norm(own, axis=1)
        assert cosines.min() >= LEAST[variant]
    assert retriever.encode_queries([]).shape == (0, 24)


def test_the_ways_of_queries_and_passages_differ(exported: Path) -> None:
    retriever = Retriever(exported, "onnx", threads=1)
    asked, held = retriever.encode_queries(["magma"]), retriever.encode_documents(["magma"])
    assert float((asked @ held.T).item()) < 0.999


def test_8_bits_are_smaller(exported: Path) -> None:
    full, small = ((exported / VARIANTS[name]).stat().st_size for name in ("onnx", "onnx-int8"))
    assert small < 0.9 * full  # of a model whose graph weighs more than its weights


def test_the_folder_alone_is_enough(exported: Path) -> None:
    """In a process in which torch, transformers and this package cannot be imported."""
    program = """
import json, sys
for name in ("torch", "transformers", "sentence_transformers", "rankstill"):
    sys.modules[name] = None
from retriever import Retriever
for variant in json.loads(sys.argv[1]):
    retriever = Retriever(".", variant, threads=1)
    print(retriever.encode_queries(["magma"]).shape, retriever.encode_documents(["lava", "tide"]).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(written(exported))],
        cwd=exported,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["(1, 24) (2, 24)"] * len(written(exported)), done.stderr


def test_nobody_is_told(exported: Path, home: Path) -> None:
    """OpenVINO's tools keep an id and counts in the home of whoever they report."""
    assert exported.is_dir()
    assert not list(home.rglob("*openvino*"))
    assert not (home / "intel").exists()


def test_an_encoder_that_reads_queries_and_passages_alike_is_exported_too(
    tiny_model: SentenceTransformer, toy_dataset: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    write_variants(tiny_model, tmp_path, ["onnx"], {})
    retriever, texts = Retriever(tmp_path, "onnx", threads=1), toy_dataset.corpus.texts(range(9))
    for given in (retriever.encode_queries(texts), retriever.encode_documents(texts)):
        np.testing.assert_allclose(given, tiny_model.encode(texts), atol=1e-5)
    assert not (tmp_path / "openvino").exists()
    with pytest.raises(ValueError, match=r'no variant "openvino"\. Use one of onnx'):
        Retriever(tmp_path, "openvino")


def test_two_encoders_are_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    one, other = (list(SentenceTransformer(str(tiny_model_folder), device="cpu")) for _ in range(2))
    router = Router.for_query_document(one, other)
    with pytest.raises(ModelError, match="two encoders"):
        write_variants(SentenceTransformer(modules=[router], device="cpu"), tmp_path, ["onnx"], {})


def test_an_unknown_variant_is_named() -> None:
    with pytest.raises(RankstillError, match=r"no variant tensorrt\. Use some of onnx, onnx-int8"):
        check_variants(["onnx", "tensorrt"])
