"""A workspace opened to be searched in, while a run may go on in the same folder."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rankstill.components import Components
from rankstill.compute.precision import autocast
from rankstill.config import Config, read_config
from rankstill.data import Dataset, load_dataset
from rankstill.errors import DataError, WorkspaceError
from rankstill.evaluation.systems import made_systems
from rankstill.models import load_bi_encoder, load_multi_vector
from rankstill.multi_vector import MeanMaxSim, TokenIndex
from rankstill.progress import say
from rankstill.ranker import Ranker
from rankstill.retrieval import FirstStage, PassageScorer, load_vectors
from rankstill.retrieval.bm25 import BM25Index, is_cached
from rankstill.retrieval.hybrid import Hybrid
from rankstill.steps import title
from rankstill.workspace import Workspace

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.retrieval.dense import Embeddings

Kind = Literal["query", "document"]
NEEDED = ("vectors", "retriever", "reranker")
"""Steps without which there is nothing to compare."""
SERVED = (*NEEDED, "multi_vector", "hybrid", "ranker", "multi_vector_distilled")
"""Steps whose outputs are served."""
_CHARACTERS_A_BATCH = 48_000
_CHARACTERS_A_TOKEN = 6
_PASSAGES_TO_CHECK = 4
_SAME_VECTOR = 0.99
"""Cosine: another precision or another machine moves a vector by less, another model or text by more."""


class ReadOnlyWorkspace(Workspace):
    """A workspace without its lock, so that it can be served while a run goes on in it.

    What was opened stays as it was: a step commits by renaming and never changes a file in place, so mapped vectors
    and loaded weights outlive their names. Token vectors alone are read by their names at each search: see
    `ServedWorkspace.unchanged`.

    Raises:
        WorkspaceError: there is none in this folder, or it is damaged or of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.path("manifest.json").is_file():
            raise WorkspaceError(
                f"{folder}: no workspace of a run is there. Make one: rankstill run CONFIG.yaml -w {folder}"
            )
        self._records = self._read_manifest()

    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the served steps, as far as the chain has them.

        Raises:
            WorkspaceError: one that is needed is not finished.
        """
        for step in NEEDED:
            if step not in self._records:
                raise WorkspaceError(
                    f'{self.folder}: its step "{title(step)}" is not finished, so there is nothing to compare yet. '
                    f"Run it to the end: rankstill run {self.path('config.yaml')} -w {self.folder}"
                )
        return {step: self._records[step].fingerprint for step in SERVED if step in self._records}


@dataclass(frozen=True)
class Retriever:
    """One bi-encoder with its vectors of the corpus.

    Args:
        name: "before" or "after".
        passages: unit vectors, memory-mapped. [passages, dimensions]
    """

    name: Literal["before", "after"]
    model: SentenceTransformer
    passages: Embeddings

    def encode(self, texts: Sequence[str], kind: Kind) -> Embeddings:
        """Unit vectors, in one forward pass where memory allows. [texts, dimensions]"""
        encode = self.model.encode_query if kind == "query" else self.model.encode_document
        read = _CHARACTERS_A_TOKEN * int(self.model.max_seq_length or 512)
        longest = max(1, min(read, max(len(text) for text in texts)))
        with autocast(str(self.model.device)):
            vectors = encode(
                list(texts),
                batch_size=max(1, _CHARACTERS_A_BATCH // longest),
                show_progress_bar=False,
                normalize_embeddings=True,
            )
        return np.asarray(vectors, dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text the model reads."""
        read = self.model.tokenizer(list(texts), truncation=True, max_length=self.model.max_seq_length)
        return [len(ids) for ids in read["input_ids"]]


@dataclass(frozen=True)
class ServedWorkspace:
    """A workspace opened for serving."""

    workspace: ReadOnlyWorkspace
    config: Config
    dataset: Dataset
    before: Retriever
    after: Retriever
    _late: dict[str, tuple[MultiVectorEncoder, TokenIndex]] = field(default_factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        """The workspace's name: that of its folder."""
        return self.workspace.folder.resolve().name

    def changed_since(self) -> bool:
        """Whether a run has replaced, since, what is served."""
        try:
            now = ReadOnlyWorkspace(self.workspace.folder).fingerprints()
        except WorkspaceError:
            return True
        # A step that has finished since replaces nothing.
        return any(now.get(step) != held for step, held in self.workspace.fingerprints().items())

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check, around a read by name, that the files are still those of the run that was opened.

        Raises:
            WorkspaceError: a run has replaced it since.
        """
        try:
            yield
        finally:  # to look afterwards is enough: a step leaves the manifest before it replaces a file
            if self.changed_since():
                raise WorkspaceError(
                    f"{self.workspace.folder}: a run has replaced what is served. Start the server again to serve the "
                    "new one."
                )

    @property
    def has_ranker(self) -> bool:
        """Whether the chain has one: some baselines do without."""
        record = self.workspace.record("reranker")
        return record is not None and "reranker" in record.outputs

    @cached_property
    def made_systems(self) -> Collection[str]:
        """The rows of the run's table that the workspace has the parts of."""
        made = made_systems(Components(self.config, self.workspace, self.dataset), with_ranker=self.has_ranker)
        return [
            name
            for name, system in made.items()
            if system.kind != "hybrid" or self.workspace.path(system.made).is_file()
        ]

    @cached_property
    def bm25(self) -> BM25Index:
        """The word index that lies in the workspace; where another run has left its own there, one without a name."""
        corpus, config, folder = self.dataset.corpus, self.config.candidates, self.workspace.path("bm25")
        if is_cached(corpus, config, folder):
            return BM25Index.load(folder)
        return BM25Index(corpus.texts(), config.language, config.k1, config.b)

    def first_stage(self, retriever: Retriever) -> FirstStage:
        """BM25 and one bi-encoder."""
        config, passages = self.config.candidates, retriever.passages
        return FirstStage(self.dataset.corpus, retriever.model, passages, config, bm25=self.bm25)

    def hybrid(self, file: str) -> Hybrid:
        """Weights by the name of their file.

        Raises:
            WorkspaceError: a run has replaced them since the workspace was opened.
        """
        with self.unchanged():
            return Hybrid.load(self.workspace.path(file))

    def late(self, folder: str) -> tuple[MultiVectorEncoder, TokenIndex]:
        """A multi-vector retriever, and the passages' token vectors, which stay on disk. Slow on first use.

        Args:
            folder: "multi-vector", or "multi-vector-distilled".

        Raises:
            WorkspaceError: a run has replaced them since the workspace was opened, or they are of another corpus.
        """
        if folder not in self._late:
            self._late[folder] = self._load_late(folder)
        return self._late[folder]

    def _load_late(self, folder: str) -> tuple[MultiVectorEncoder, TokenIndex]:
        with _timed(f"loading {folder}"), self.unchanged():
            model = load_multi_vector(str(self.workspace.path(folder)), self.config.device)
            index = TokenIndex.load(self.workspace.path(f"{folder}-index"))
        if len(index) != len(self.dataset.corpus):
            raise _of_another_dataset(self.workspace.folder, "token vectors", self.dataset)
        return model, index

    @cached_property
    def reranking(self) -> tuple[FirstStage, Ranker]:
        """The ranker that goes on top of the new retriever, and the first stage that it reorders. Slow on first use.

        Raises:
            WorkspaceError: a run has replaced the ranker since the workspace was opened.
        """
        with _timed("loading the ranker"), self.unchanged():
            ranker = Ranker.load(self.workspace.path("reranker"), self.config.device)
        stage = self.first_stage(self.after)
        if ranker.first_stage is not None:  # its encoders are here already: one copy of each will do
            late = None
            if ranker.first_stage.late is not None:
                late, index = self.late("multi-vector")
                stage = stage.with_late(MeanMaxSim(late, index))
            ranker.first_stage = PassageScorer(self.after.model, self.bm25.statistics, late)
        return stage, ranker


def open_workspace(folder: Path) -> ServedWorkspace:
    """Open a finished workspace for reading, check that its vectors belong to its models and dataset, and warm up.

    Raises:
        WorkspaceError: it is not finished, a run is changing it, or its dataset has changed since.
        RankstillError: its dataset or a model cannot be loaded.
    """
    workspace = ReadOnlyWorkspace(folder)
    wanted = workspace.fingerprints()
    try:
        return _load(workspace)
    except OSError as error:
        raise WorkspaceError(f"{folder}: cannot be read ({error}). Run `rankstill run` on it again.") from error
    finally:  # which of the two says more: what went wrong may be the run's doing
        if ReadOnlyWorkspace(folder).fingerprints() != wanted:
            raise WorkspaceError(f"{folder}: a run replaced parts of it just now. Wait for its end, then serve it.")


def _load(workspace: ReadOnlyWorkspace) -> ServedWorkspace:
    from rankstill.retriever import load_retriever

    config = read_config(workspace.path("config.yaml"))
    say(f"loading {config.dataset.source} ...")
    try:
        dataset = load_dataset(config.dataset)
    except DataError as error:
        raise DataError(
            f"{error} {workspace.path('config.yaml')} names it; a relative path counts from where the run was started."
        ) from error
    say(f"loading the retriever before: {config.retriever.model} ...")
    before = _retriever("before", load_retriever(config.retriever, config.device), workspace.path("vectors"))
    say(f"loading the retriever after: {workspace.path('retriever')} ...")
    after = _retriever(
        "after", load_bi_encoder(str(workspace.path("retriever")), config.device), workspace.path("vectors-after")
    )
    for retriever in (before, after):
        _check_vectors(retriever, dataset, workspace.folder)
        retriever.encode(["warm-up"], "query")
    return ServedWorkspace(workspace, config, dataset, before, after)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    say(f"{what} ...")
    yield
    say(f"{what}: {time.monotonic() - started:.1f} s")


def _retriever(name: Literal["before", "after"], model: SentenceTransformer, vectors: Path) -> Retriever:
    # Not as a memmap, which may be read anew by its name: a run may have put another file there.
    return Retriever(name, model, load_vectors(vectors).view(np.ndarray))


def _check_vectors(retriever: Retriever, dataset: Dataset, folder: Path) -> None:
    """A dataset that changed, or a step left half redone, would show one passage's score beside another's text."""
    corpus, vectors = dataset.corpus, retriever.passages
    fits = vectors.shape == (len(corpus), retriever.model.get_embedding_dimension())
    if fits:
        rows = np.linspace(0, len(corpus) - 1, min(_PASSAGES_TO_CHECK, len(corpus))).astype(int).tolist()
        cosines = (retriever.encode(corpus.texts(rows), "document") * vectors[rows]).sum(axis=1)
        fits = bool(cosines.min() >= _SAME_VECTOR)
    if not fits:
        raise _of_another_dataset(folder, f"vectors {retriever.name}", dataset)


def _of_another_dataset(folder: Path, vectors: str, dataset: Dataset) -> WorkspaceError:
    return WorkspaceError(
        f"{folder}: the {vectors} are not those of {dataset.name} by this model: the dataset or the config has changed "
        "since the run. Run `rankstill run` on it again, to the end."
    )
