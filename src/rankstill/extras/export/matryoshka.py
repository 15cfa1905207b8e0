"""How short vectors may be: a table of dimensions against quality, cut off as they are and turned first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError, ModelError
from rankstill.evaluation import EvaluationTable, evaluate_runs
from rankstill.extras.export.search import Vectors, unit, vectors_run
from rankstill.tables import markdown_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset


DIMENSIONS = (1024, 768, 512, 384, 256, 128, 64)
MEASURE = "nDCG@10"


def rotated(model: SentenceTransformer, axes: NDArray[np.float32], keep: int | None = None) -> SentenceTransformer:
    """The retriever with its vectors turned: a plain sentence-transformers model with one `Dense` more.

    Saved and loaded with `truncate_dim=256`, it gives 256 dimensions; `encode` makes them unit vectors again where it
    is asked to (`normalize_embeddings=True`).

    Args:
        model: the retriever; its modules are shared, not copied.
        axes: from `principal_axes`. [dimensions, dimensions]
        keep: how many dimensions the model gives unless told otherwise; all if None.

    Raises:
        ModelError: the axes are of another model, or `keep` is more than there is.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Router

    dimensions = len(axes)
    if model.get_embedding_dimension() != dimensions:
        raise ModelError(
            f"the model has {model.get_embedding_dimension()} dimensions and the corpus's vectors {dimensions}. "
            "Encode the corpus again with this retriever."
        )
    if keep is not None and not 1 <= keep <= dimensions:
        raise ModelError(f"cannot keep {keep} dimensions of {dimensions}. Give 1 to {dimensions}.")
    turn = Dense(
        dimensions,
        dimensions,
        bias=False,
        activation_function=torch.nn.Identity(),
        init_weight=torch.from_numpy(axes.copy()),
    )
    modules = list(model)
    if len(modules) == 1 and isinstance(modules[0], Router):
        ways = modules[0].sub_modules
        modules = [
            Router.for_query_document([*ways["query"], turn], [*ways["document"], turn], default_route="document")
        ]
    else:
        modules.append(turn)
    turned = SentenceTransformer(
        modules=modules, device=str(model.device), prompts=dict(model.prompts), truncate_dim=keep
    )
    turned.similarity_fn_name = "cosine"
    return turned.eval()


@dataclass(frozen=True)
class TruncatedVectors:
    """Quality and size of vectors cut to one length.

    Args:
        megabytes: that a million vectors take in float32.
        plain: quality, cut off as they are.
        turned: quality, turned to the corpus's principal axes and then cut.
        change: by which `turned` differs from the whole vectors.
        interval: 95 % bootstrap interval of that difference.
    """

    dimensions: int
    megabytes: float
    plain: float
    turned: float
    change: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class TruncationTable:
    """Vectors cut to several lengths, measured.

    Args:
        cuts: longest first.
    """

    queries: int
    passages: int
    cuts: tuple[TruncatedVectors, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and numbers."""
        return {"measure": MEASURE, **asdict(self)}

    def to_markdown(self) -> str:
        """The table as GitHub Markdown."""
        rows = [["dimensions", "MB a million", "cut off", "rotated, then cut", "against whole [95 % interval]"]]
        for cut in self.cuts:
            change = f"{cut.change:+.3f} [{cut.interval[0]:+.3f}, {cut.interval[1]:+.3f}]"
            rows.append(
                [f"{cut.dimensions:,}", f"{cut.megabytes:,.0f}", f"{cut.plain:.3f}", f"{cut.turned:.3f}", change]
            )
        title = f"**Shorter vectors** ({MEASURE}, n = {self.queries:,} queries, {self.passages:,} passages)"
        caption = "Rotated: to the principal axes of the corpus's vectors. No judgement was used for that."
        return "\n".join([title, "", *markdown_rows(rows, text_columns=0), "", caption, ""])


def truncation_table(
    dataset: Dataset,
    passages: Vectors,
    queries: Vectors,
    axes: NDArray[np.float32],
    dimensions: Sequence[int] = DIMENSIONS,
    seed: int = 0,
) -> TruncationTable:
    """Measure every length on the whole corpus.

    Args:
        passages: the corpus's vectors; may lie on disk. [passages, dimensions]
        queries: the test queries', in their order. [queries, dimensions]
        axes: from `principal_axes`. [dimensions, dimensions]
        dimensions: the lengths to measure; what is longer than the vectors is left out.

    Raises:
        DataError: the dataset has no test queries.
    """
    if not dataset.test:
        raise DataError(f"{dataset.name}: no test queries, so shorter vectors cannot be measured. Check test_split.")
    whole = passages.shape[1]
    lengths = sorted({length for length in dimensions if 1 <= length <= whole} | {whole}, reverse=True)
    corpus = dataset.corpus
    runs = {"whole": vectors_run(corpus.ids, passages, dataset.test, queries, left_out=corpus.repeats)}
    for length in lengths:
        for name, turn in (("plain", None), ("turned", axes)):
            runs[f"{name} {length}"] = vectors_run(
                corpus.ids, passages, dataset.test, queries, _cutter(length, turn), corpus.repeats
            )
    table = evaluate_runs(runs, dataset.test_qrels(), "whole", (MEASURE,), seed)
    cuts = tuple(_cut(table, length) for length in lengths)
    return TruncationTable(len(dataset.test), len(dataset.corpus), cuts)


def _cutter(length: int, axes: NDArray[np.float32] | None) -> Any:
    if axes is None:
        return lambda vectors: unit(vectors[:, :length])
    return lambda vectors: unit(vectors @ axes[:length].T)


def _cut(table: EvaluationTable, length: int) -> TruncatedVectors:
    plain, turned = (table.system(f"{name} {length}") for name in ("plain", "turned"))
    assert turned.comparisons is not None  # it is not the baseline
    found = turned.comparisons[MEASURE]
    return TruncatedVectors(
        dimensions=length,
        megabytes=length * 4.0,
        plain=plain.values[MEASURE],
        turned=turned.values[MEASURE],
        change=found.difference,
        interval=(found.low, found.high),
    )
