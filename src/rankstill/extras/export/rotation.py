"""Vectors that can be cut short: turned so that the first dimensions carry most.

Cosines do not change when all vectors are turned alike. Turned to the corpus's principal axes, the first d dimensions
keep as much of the passages' inner products as any d can (Eckart and Young 1936).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_PASSAGES_AT_ONCE = 32_768


def principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The corpus's principal axes, the one along which passages are longest first.

    Not centred: cosines are measured from 0.

    Args:
        vectors: the vectors of the corpus; read in blocks, so they may lie on disk. [passages, dimensions]

    Returns:
        An orthogonal matrix whose rows are the axes. [dimensions, dimensions]
    """
    moment = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), _PASSAGES_AT_ONCE):
        block = np.asarray(vectors[start : start + _PASSAGES_AT_ONCE], dtype=np.float64)
        moment += block.T @ block
    _, axes = np.linalg.eigh(moment)  # smallest first, one a column
    turned: NDArray[np.float32] = np.ascontiguousarray(axes[:, ::-1].T, dtype=np.float32)
    return turned


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
