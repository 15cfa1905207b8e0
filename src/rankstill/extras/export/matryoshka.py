"""How short vectors may be: a table of dimensions against quality, cut off as they are and turned first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError, ModelError
from rankstill.evaluation import EvaluationTable, evaluate_runs
from rankstill.evaluation.systems import nearest_run
from rankstill.retrieval.dense import Embeddings

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
    passages: Embeddings,
    queries: Embeddings,
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
    baseline = _name(whole, "whole")
    search = partial(nearest_run, passages, queries, dataset.corpus, dataset.test)
    runs = {baseline: search()}
    for length in sorted({length for length in dimensions if 1 <= length < whole}, reverse=True):
        runs[_name(length, "cut off")] = search(change=partial(shortened, length=length))
        runs[_name(length, "rotated, then cut")] = search(change=partial(shortened, length=length, axes=axes))
    return evaluate_runs(runs, dataset.test_qrels(), baseline, (MEASURE,), seed)


def _name(length: int, how: str) -> str:
    return f"{length:,} dimensions ({length * 4:,} MB), {how}"


def shortened(vectors: Embeddings, length: int, axes: NDArray[np.float32] | None = None) -> Embeddings:
    """The first dimensions, as unit vectors again; 0 stays 0. [texts, dimensions] -> [texts, length]

    Args:
        axes: from `principal_axes`, to turn the vectors before they are cut; None: they are cut as they are.
    """
    cut = vectors[:, :length] if axes is None else vectors @ axes[:length].T
    made: Embeddings = (cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return made
