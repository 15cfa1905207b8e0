"""The forms in which a retriever is written, with all that is needed to run them without torch."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.errors import ModelError, RankstillError
from rankstill.extras.export import standalone
from rankstill.extras.export.graph import OUTPUTS, TraceableEncoder, with_int8_tables, write_onnx
from rankstill.packages import required
from rankstill.progress import say
from rankstill.quiet import quiet, without_telemetry
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VARIANTS = {
    "onnx": "onnx/model.onnx",
    "onnx-int8": "onnx/model-int8.onnx",
    "openvino": "openvino/model.xml",
    "openvino-int8": "openvino/model-int8.xml",
}
"""Name -> file in the export's folder."""
_NEEDED = {
    "onnx": ("onnxscript", "onnxruntime"),
    "onnx-int8": ("onnxscript", "onnx", "onnxruntime"),
    "openvino": ("onnxscript", "openvino"),
    "openvino-int8": ("onnxscript", "openvino", "nncf"),
}


def check_variants(variants: Sequence[str]) -> None:
    """Whether these can be written, before anything is.

    Raises:
        RankstillError: one is unknown, none is named, or a package is missing.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown or not variants:
        raise RankstillError(f"export: no variant {', '.join(unknown) or 'named'}. Use some of {', '.join(VARIANTS)}.")
    with without_telemetry():
        for module in dict.fromkeys(module for name in variants for module in _NEEDED[name]):
            required(module, "export")


def write_variants(
    model: SentenceTransformer, folder: Path, variants: Sequence[str], calibration: Mapping[str, Sequence[str]]
) -> None:
    """Write a retriever in these forms, with its tokenizer, its settings and a reader (`retriever.py`) beside them.

    Args:
        folder: made if it is not there; files of the same names are replaced.
        calibration: texts of the user's own by which OpenVINO's int8 chooses its ranges: "document" -> passages,
            "query" -> queries.

    Raises:
        RankstillError: as `check_variants`, or the model cannot be exported.
    """
    check_variants(variants)
    for name in variants:
        (folder / VARIANTS[name]).parent.mkdir(parents=True, exist_ok=True)
    _write_settings(model, folder, variants)
    both = TraceableEncoder(model)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        graph = Path(temporary) / "model.onnx"
        if set(variants) - {"onnx-int8"}:
            say("export: the graph")
            write_onnx(both, graph)
        if "onnx-int8" in variants:
            say("export: onnx-int8")
            write_onnx(with_int8_tables(both), graph.with_name("tables.onnx"))
            _onnx_int8(graph.with_name("tables.onnx"), folder / VARIANTS["onnx-int8"])
        if "openvino" in variants:
            _openvino(graph, folder / VARIANTS["openvino"])
        if "openvino-int8" in variants:
            say(f"export: openvino-int8, calibrated on {sum(map(len, calibration.values()))} texts")
            _openvino_int8(graph, folder, calibration)
        if "onnx" in variants:
            graph.replace(folder / VARIANTS["onnx"])


def _write_settings(model: SentenceTransformer, folder: Path, variants: Sequence[str]) -> None:
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None or not model.max_seq_length:
        raise ModelError("the model's tokenizer is not a fast one, or has no limit. Export a retriever that has both.")
    settings = {
        "dimensions": model.get_embedding_dimension(),
        "max_length": model.max_seq_length,
        "padding": model.tokenizer.pad_token_id,
        "prompts": {way: model.prompts.get(way) or "" for way in OUTPUTS},
        "variants": {name: file for name, file in VARIANTS.items() if name in variants},
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    shutil.copyfile(standalone.__file__, folder / "retriever.py")
    write_atomically(folder / "retriever.json", json.dumps(settings, ensure_ascii=False, indent=2) + "\n")


def _onnx_int8(graph: Path, path: Path) -> None:
    """Weights in 7 of 8 bits, a scale for each column; ranges of what flows are found anew in every batch (dynamic).

    What stands on top of the encoder stays in full precision: it costs next to nothing.
    """
    onnx, quantization = required("onnx", "export"), required("onnxruntime.quantization", "export")
    nodes = onnx.load(str(graph), load_external_data=False).graph.node
    head = [node.name for node in nodes if node.op_type == "Gemm"]  # the encoder's products are of three dimensions
    with quiet():
        quantization.quantize_dynamic(
            str(graph),
            str(path),
            op_types_to_quantize=["MatMul", "Gemm"],
            # Under both names: the quantiser turns each Gemm into a MatMul before it looks at what to leave.
            nodes_to_exclude=[*head, *(f"{name}_MatMul" for name in head)],
            per_channel=True,
            # Processors without VNNI add two products in 16 bits, which 8-bit weights overflow: a tiny model's passages
            # fell to a cosine of 0.96. Nobody knows where the file will run.
            reduce_range=True,
            weight_type=quantization.QuantType.QInt8,
        )


def _openvino(graph: Path, path: Path) -> None:
    openvino = required("openvino", "export")
    with without_telemetry():
        openvino.save_model(openvino.convert_model(str(graph)), str(path), compress_to_fp16=False)


def _openvino_int8(graph: Path, folder: Path, calibration: Mapping[str, Sequence[str]]) -> None:
    """Ranges of what flows chosen on the user's texts; weights and tables in 8 bits."""
    nncf, openvino = required("nncf", "export"), required("openvino", "export")
    reader = standalone.Reader(folder)
    batches = [reader.batch([tokens]) for kind, texts in calibration.items() for tokens in reader.tokens(texts, kind)]
    with quiet(), without_telemetry(), redirect_stdout(sys.stderr):  # where NNCF's own progress belongs
        smaller = nncf.quantize(
            openvino.convert_model(str(graph)),
            nncf.Dataset(batches),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
        )
    openvino.save_model(smaller, str(folder / VARIANTS["openvino-int8"]))
