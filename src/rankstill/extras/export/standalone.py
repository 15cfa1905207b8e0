"""An exported retriever: texts to unit vectors with ONNX Runtime or OpenVINO, without torch.

This file lies beside what was exported and needs numpy, tokenizers, and onnxruntime or openvino:

    from retriever import Retriever

    retriever = Retriever("path/to/this/folder", "onnx-int8")
    passages = retriever.encode_documents(["a passage"])
    queries = retriever.encode_queries(["a query"])
    print(queries @ passages.T)  # cosines
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Vectors = NDArray[np.float32]


class Reader:
    """Turns texts into the inputs of the graph."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.settings = json.loads((self.folder / "retriever.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self.settings["max_length"])
        self._tokenizer.no_padding()

    def tokens(self, texts: Sequence[str], kind: str) -> list[list[int]]:
        """Token ids of each text with its prompt, cut to what the model reads. `kind`: "query" or "document"."""
        prompt = self.settings["prompts"][kind]
        return [found.ids for found in self._tokenizer.encode_batch([prompt + text for text in texts])]

    def batch(self, tokens: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
        """Token ids, padded on the right, and which of them are text. Each [texts, tokens]"""
        shape = (len(tokens), max(map(len, tokens)))
        ids, mask = np.full(shape, self.settings["padding"], dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, found in enumerate(tokens):
            ids[row, : len(found)] = found
            mask[row, : len(found)] = 1
        return {"input_ids": ids, "attention_mask": mask}


class Retriever:
    """Texts to unit vectors, as queries or as passages.

    Args:
        variant: one of those in its `retriever.json`, such as "onnx", "onnx-int8", "openvino", "openvino-int8".
        threads: that one forward pass may use; by default all cores.
    """

    def __init__(self, folder: str | os.PathLike[str], variant: str, threads: int | None = None) -> None:
        self.reader = Reader(folder)
        self.dimensions: int = self.reader.settings["dimensions"]
        variants = self.reader.settings["variants"]
        if variant not in variants:
            raise ValueError(f'{folder}: no variant "{variant}". Use one of {", ".join(variants)}.')
        start = _openvino if variant.startswith("openvino") else _onnx
        self._forward = start(self.reader.folder / variants[variant], threads or os.cpu_count() or 1)

    def encode_queries(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Unit vectors of queries, in their order. [texts, dimensions]"""
        return self._encode(texts, "query", batch_size)

    def encode_documents(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        """Unit vectors of passages, in their order. [texts, dimensions]"""
        return self._encode(texts, "document", batch_size)

    def _encode(self, texts: Sequence[str], kind: str, batch_size: int) -> Vectors:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        tokens = self.reader.tokens(texts, kind)
        order = sorted(range(len(texts)), key=lambda row: -len(tokens[row]))  # alike in length: little is padding
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            vectors[rows] = self._forward(self.reader.batch([tokens[row] for row in rows]), kind)
        return vectors


_Forward = Callable[[dict[str, Any], str], Any]


def _onnx(path: Path, threads: int) -> _Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch, kind: session.run([kind], batch)[0]


def _openvino(path: Path, threads: int) -> _Forward:
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": threads})
    return lambda batch, kind: compiled(batch)[kind]
