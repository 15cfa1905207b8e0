"""What a finished chain gives away: its retriever in other forms, its vectors as a file or in a database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from rankstill.compute.principal_axes import principal_axes
from rankstill.config import Config
from rankstill.data import load_dataset
from rankstill.errors import RankstillError, WorkspaceError
from rankstill.evaluation import EvaluationTable
from rankstill.extras.export.matryoshka import DIMENSIONS, HEADING, rotated, shortened, truncation_table
from rankstill.extras.export.measuring import ExportTable
from rankstill.extras.export.stores import plaid_search, to_lancedb, to_pgvector, to_plaid, to_qdrant
from rankstill.extras.export.vectors import ROWS_OF_TOKENS, Batch, batches_of, with_terms, with_tokens, write_parquet
from rankstill.models import save_model
from rankstill.multi_vector import TokenIndex, encode_queries
from rankstill.pipeline import Chain
from rankstill.progress import say
from rankstill.retrieval import encode, load_vectors
from rankstill.retrieval.dense import Embeddings
from rankstill.retrieval.first_stage import top
from rankstill.retrieval.hybrid.engines import SparseTerms
from rankstill.steps import title
from rankstill.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

STORES: dict[str, Callable[..., int]] = {
    "qdrant": to_qdrant,
    "lancedb": to_lancedb,
    "pgvector": to_pgvector,
    "plaid": to_plaid,
}
"""Name -> function that puts batches into one: `(batches, collection or table, location=...)`."""
_OF_TOKENS = ("qdrant", "lancedb", "plaid")
"""The stores that can search by MaxSim; PLAID by nothing else."""
_RECALL_OF, _RECALL_QUERIES = 10, 200
"""PLAID's recall is measured by how many passages, on how many queries."""
PASSAGES = 1000
"""Encoded by every form to measure it."""


def export_retriever(
    config: Config,
    workspace: str | Path,
    variants: Sequence[str] = ("onnx", "onnx-int8"),
    *,
    dimensions: int | None = None,
    passages: int = PASSAGES,
) -> ExportTable:
    """Write the distilled retriever for ONNX Runtime and OpenVINO into `export/`, and measure what that changed.

    The table lies beside it, as `export.md` and `export.json`.

    Args:
        variants: some of `VARIANTS`.
        dimensions: of shorter vectors, turned first (see `measure_truncation`); None for whole ones.
        passages: how many passages of the corpus every form encodes for the table.

    Raises:
        RankstillError: as `open_finished`; or a variant is unknown, or its package is missing.
    """
    from rankstill.extras.export.measuring import measure_variants
    from rankstill.extras.export.variants import check_variants, write_variants

    check_variants(variants)
    with open_finished(config, workspace) as chain:
        model, vectors = _finished(chain)
        if dimensions is not None:
            model = rotated(model, principal_axes(vectors), dimensions)
        folder = chain.workspace.path("export")
        write_variants(model, folder, variants, _calibration(chain))
        table = measure_variants(model, folder, variants, chain.dataset, vectors, passages, config.seed)
    write_atomically(folder / "export.md", table.to_markdown())
    write_atomically(folder / "export.json", json.dumps(table.to_json(), ensure_ascii=False) + "\n")
    return table


def measure_truncation(
    config: Config, workspace: str | Path, dimensions: Sequence[int] = DIMENSIONS, keep: int | None = None
) -> EvaluationTable:
    """Measure shorter vectors, and save the retriever with its vectors turned, so that they can be cut.

    `export/matryoshka/` is a plain sentence-transformers folder; the table lies beside it, as `matryoshka.md` and
    `matryoshka.json`.

    Args:
        keep: how many dimensions the saved model gives unless told otherwise (`truncate_dim`); all if None.

    Raises:
        RankstillError: as `open_finished`; or there are no test queries, or not that many dimensions.
    """
    with open_finished(config, workspace) as chain:
        model, vectors = _finished(chain)
        axes = principal_axes(vectors)
        turned = rotated(model, axes, keep)
        asked = encode(model, chain.dataset.texts_of(chain.dataset.test), "query", "encoding queries", 128)
        table = truncation_table(chain.dataset, vectors, asked, axes, dimensions, config.seed)
        folder = chain.workspace.path("export")
        save_model(turned, folder / "matryoshka")
    write_atomically(folder / "matryoshka.md", table.to_markdown(HEADING))
    write_atomically(folder / "matryoshka.json", json.dumps(table.to_json()) + "\n")
    return table


def export_vectors(
    config: Config, workspace: str | Path, path: Path | None = None, *, dimensions: int | None = None
) -> int:
    """Write the corpus with its vectors to a Parquet file: `id`, `text`, `vector`.

    Args:
        path: the file; None for `export/vectors.parquet` in the workspace.
        dimensions: of shorter vectors, turned first; None for whole ones.
    """
    with open_finished(config, workspace) as chain:
        place = path or chain.workspace.path("export") / "vectors.parquet"
        return write_parquet(_batches(chain, dimensions), place)


def export_to_store(
    config: Config,
    workspace: str | Path,
    store: str,
    name: str,
    location: str,
    *,
    dimensions: int | None = None,
    of: str = "retriever",
) -> int:
    """Put the corpus with its vectors into a vector database.

    Args:
        store: one of `STORES`.
        location: where the database is, see its function in `rankstill.extras.export.stores`; empty for a folder in the
            workspace, or for what PGHOST and the like say.
        dimensions: of shorter vectors, turned first; None for whole ones.
        of: whose vectors, one of `systems.RETRIEVERS`. With a multi-vector one, what its hybrid searches by: its
            token vectors, and the vectors of the old or the distilled retriever; in PLAID the former alone.

    Raises:
        RankstillError: as `open_finished` or the store's function; or there is no such store, or none for token
            vectors.
        WorkspaceError: the run made no such retriever.
    """
    if store not in STORES:
        raise RankstillError(f"export-vectors: no database {store}. Use parquet or one of {', '.join(STORES)}.")
    if of != "retriever" and (store not in _OF_TOKENS or dimensions is not None):
        raise RankstillError(
            f"export-vectors: --of {of} puts whole token vectors into {' or '.join(_OF_TOKENS)}. Leave "
            "--dimensions out."
        )
    if of == "retriever" and store == "plaid":
        raise RankstillError("export-vectors: PLAID indexes token vectors. Add --of multi-vector.")
    with open_finished(config, workspace) as chain:
        if not location and store != "pgvector":
            location = str(chain.workspace.path("export") / store)
        batches = _batches(chain, dimensions) if of == "retriever" else _with_tokens(chain, of)
        if store == "qdrant":  # BM25 is the only score that it cannot compute from texts
            batches = with_terms(batches, SparseTerms(chain.components.bm25.statistics))
        count = STORES[store](batches, name, location=location)
        if store == "plaid":
            say(_plaid_recall(chain, of, Path(location) / name))
        return count


def _plaid_recall(chain: Chain, of: str, folder: Path) -> str:
    """PLAID's recall against exact MaxSim on the user's own queries, in a sentence."""
    dataset, made = chain.dataset, chain.components
    model = made.distilled_multi_vector if of == "multi-vector-distilled" else made.multi_vector
    encoded = encode_queries(model, dataset.texts_of([*dataset.test, *dataset.train][:_RECALL_QUERIES]))
    asked = [each for each in encoded if len(each)]  # a query of nothing but special tokens finds nothing
    index = TokenIndex.load(chain.workspace.path(f"{of}-index"))
    exact = (top(scores, _RECALL_OF) for scores in index.scores(asked))
    found = plaid_search(folder, asked, _RECALL_OF)
    shares = [len(np.intersect1d(best, near)) / len(best) for best, near in zip(exact, found, strict=True)]
    return (
        f"PLAID finds {np.mean(shares):.3f} of the exact best {_RECALL_OF} by MaxSim, measured on {len(asked)} of your "
        "queries"
    )


def _finished(chain: Chain) -> tuple[SentenceTransformer, Embeddings]:
    """The distilled retriever and the corpus's vectors by it, on disk."""
    return chain.components.model_after, load_vectors(chain.workspace.path("vectors-after"))


def _batches(chain: Chain, dimensions: int | None) -> Iterator[Batch]:
    model, vectors = _finished(chain)
    if dimensions is None:
        yield from batches_of(chain.dataset.corpus, vectors)
        return
    axes = principal_axes(vectors)
    rotated(model, axes, dimensions)  # whether there are as many
    for batch in batches_of(chain.dataset.corpus, vectors):
        yield Batch(batch.ids, batch.texts, shortened(batch.vectors, dimensions, axes))


def _with_tokens(chain: Chain, of: str) -> Iterator[Batch]:
    distilled, made = of == "multi-vector-distilled", chain.components
    if not (made.has_distilled_multi_vector if distilled else made.has_multi_vector):
        option = "multi_vector.epochs: 2" if made.has_multi_vector else "multi_vector.make: true"
        raise WorkspaceError(f"{chain.workspace.folder}: there is no {of}. Run with {option}.")
    if distilled:
        chain.multi_vector_distilled()  # refused where settings or data have changed since
    index = TokenIndex.load(chain.workspace.path(f"{of}-index"))
    vectors = load_vectors(chain.workspace.path("vectors-after" if distilled else "vectors"))
    return with_tokens(batches_of(chain.dataset.corpus, vectors, ROWS_OF_TOKENS), index)


def _calibration(chain: Chain, passages: int = 64, queries: int = 32) -> dict[str, Sequence[str]]:
    """Passages drawn from the corpus, and queries from those that may teach."""
    dataset, draw = chain.dataset, np.random.default_rng(chain.config.seed)
    drawn = draw.permutation(len(dataset.corpus))[:passages]
    asked = [dataset.train[int(row)] for row in draw.permutation(len(dataset.train))[:queries]]
    return {"document": dataset.corpus.texts(int(row) for row in drawn), "query": dataset.texts_of(asked)}


class FinishedWorkspace(Workspace):
    """A workspace whose steps are taken as they are; one that would have to be made is refused.

    Raises:
        WorkspaceError: there is none in this folder, or see `Workspace`.
    """

    def write(self, name: str, text: str) -> None:
        """Nothing: the config and the card that lie there are those of what is taken."""

    def _claim_folder(self) -> None:
        if not self.path("manifest.json").is_file():
            raise WorkspaceError(f"{self.folder}: no workspace of a run. `rankstill run` first, with -w {self.folder}.")
        super()._claim_folder()

    def _make(self, name: str, *_: Any) -> NoReturn:
        known = self.record(name)
        if known is None:
            why = f'step "{title(name)}" is not finished'
        elif all(self.path(output).exists() for output in known.outputs):
            why = f'settings or data have changed since step "{title(name)}" was made'
        else:
            why = f'files of step "{title(name)}" are missing'
        raise WorkspaceError(f"{self.folder}: {why}. `rankstill run` first, with -w {self.folder}.")


@contextmanager
def open_finished(config: Config, workspace: str | Path) -> Iterator[Chain]:
    """The chain on a workspace that holds its retriever and the corpus's vectors by it, made by this very config.

    Raises:
        WorkspaceError: they are not there, or settings or data have changed since they were made.
        RankstillError: the dataset cannot be loaded.
    """
    dataset = load_dataset(config.dataset)
    with FinishedWorkspace(workspace) as opened:
        chain = Chain(config, opened, dataset)
        chain.reranker()
        yield chain
