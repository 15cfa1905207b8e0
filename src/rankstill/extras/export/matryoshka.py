"""How short vectors may be: a table of dimensions against quality, cut off as they are and turned first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError, ModelError
from rankstill.evaluation import EvaluationTable, evaluate_runs
from rankstill.extras.export.search import Vectors, unit, vectors_run

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset


DIMENSIONS = (1024, 768, 512, 384, 256, 128, 64)
MEASURE = "nDCG@10"
HEADING = "Shorter vectors (MB: of a million in float32)"


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


def truncation_table(
    dataset: Dataset,
    passages: Vectors,
    queries: Vectors,
    axes: NDArray[np.float32],
    dimensions: Sequence[int] = DIMENSIONS,
    seed: int = 0,
) -> EvaluationTable:
    """Measure every length on the whole corpus, each compared with the whole vectors.

    Args:
        passages: the corpus's vectors; may lie on disk. [passages, dimensions]
        queries: the test queries', in their order. [queries, dimensions]
        axes: from `principal_axes`. [dimensions, dimensions]
        dimensions: the lengths to measure; what is no shorter than the vectors is left out.

    Raises:
        DataError: the dataset has no test queries.
    """
    if not dataset.test:
        raise DataError(f"{dataset.name}: no test queries, so shorter vectors cannot be measured. Check test_split.")
    whole = passages.shape[1]
    corpus, baseline = dataset.corpus, _name(whole, "whole")
    runs = {baseline: vectors_run(corpus.ids, passages, dataset.test, queries, left_out=corpus.repeats)}
    for length in sorted({length for length in dimensions if 1 <= length < whole}, reverse=True):
        for how, turn in (("cut off", None), ("rotated, then cut", axes)):
            runs[_name(length, how)] = vectors_run(
                corpus.ids, passages, dataset.test, queries, _cutter(length, turn), corpus.repeats
            )
    return evaluate_runs(runs, dataset.test_qrels(), baseline, (MEASURE,), seed)


def _name(length: int, how: str) -> str:
    return f"{length:,} dimensions ({length * 4:,} MB), {how}"


def _cutter(length: int, axes: NDArray[np.float32] | None) -> Any:
    if axes is None:
        return lambda vectors: unit(vectors[:, :length])
    return lambda vectors: unit(vectors @ axes[:length].T)
