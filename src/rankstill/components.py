"""The components of one experiment that its steps share: the dataset, the models, the first stage, the rankings."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.config import Config
from rankstill.data import Dataset, bundled, find_leaks, is_bundled
from rankstill.errors import DataError, ModelError
from rankstill.evaluation.judged import with_judgements
from rankstill.labels.choice import unneeded_steps
from rankstill.lists import TeacherLists
from rankstill.models import RANKS_ALREADY, architecture_of, hub_has, load_bi_encoder, load_multi_vector, model_identity
from rankstill.multi_vector import MeanMaxSim, TokenIndex
from rankstill.retrieval import FirstStage, encode, encode_passages, load_vectors, read_candidates
from rankstill.retrieval.approximate import cached_approximate_index
from rankstill.retrieval.bm25 import cached_index
from rankstill.teacher import read_rankings
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.template import load_template
from rankstill.workspace import Workspace

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.config import TeacherConfig
    from rankstill.engine import RayEngine
    from rankstill.engine.cluster import Cluster
    from rankstill.retrieval.approximate import ApproximateIndex, IndexRecall
    from rankstill.retrieval.bm25 import BM25Index
    from rankstill.retriever import Blend
    from rankstill.teacher import Ranking
    from rankstill.teacher.client.endpoint import Endpoint
    from rankstill.teacher.teach import Teacher

_QUERIES_TO_MEASURE_WITH = 200


class Components:
    """What several steps need: models, first stage, teacher, lists. Each is made on first use and kept."""

    def __init__(self, config: Config, workspace: Workspace, dataset: Dataset) -> None:
        self.config = config
        self.workspace = workspace
        self.dataset = dataset

    @cached_property
    def lists(self) -> TeacherLists:
        """The LLM's rankings."""
        return TeacherLists(self.config, self.workspace, self.dataset)

    @property
    def recorded_rankings(self) -> Path:
        """The rankings to replay: as configured, or those beside the dataset."""
        if self.config.teacher.rankings:
            return Path(self.config.teacher.rankings).expanduser()
        source = self.config.dataset.source
        place = bundled(source) if is_bundled(source) else Path(source).expanduser()
        return (place.parent if place.is_file() else place) / "rankings.jsonl"

    def recorded(self) -> tuple[list[Ranking], list[str]]:
        """The rankings to replay, and notes of those left aside.

        Raises:
            DataError: they cannot be read, or none belongs to a query that may teach.
        """
        rankings, notes = read_rankings(self.recorded_rankings, self.dataset)
        if not rankings:
            raise DataError(
                f"{self.recorded_rankings}: no ranking belongs to a query that may teach. Check that its query ids are "
                "those of the dataset's training split."
            )
        return rankings, notes

    def teacher(self) -> Teacher:
        """The black box to ask; a context manager.

        Raises:
            RankstillError: its ledger, its prompt template or a local model cannot be used, or its limits not be kept.
        """
        from rankstill.teacher.teach import Teacher  # loads openai, which takes half a second

        by_workers = self._reach_by_workers if self.config.engine.kind == "ray" else None
        return Teacher(self.config.teacher, self.account, self.config.seed, by_workers)

    def _reach_by_workers(self, config: TeacherConfig) -> AbstractContextManager[Endpoint]:
        from rankstill.engine.asking import reach_by_workers

        return reach_by_workers(config, self.ray)

    def check_teacher(self) -> None:
        """Whether there will be rankings: a mistake shows before minutes of encoding, not after.

        Raises:
            RankstillError: as `recorded` or `teacher`; or there is no key, where something is sure to be asked.
        """
        if self.config.teacher.kind == "recorded":
            self.recorded()
            return
        with self.teacher() as teacher:
            if not self.workspace.record("candidates"):
                teacher.check_key()

    def check_cross_encoder(self) -> None:
        """Whether there is what the cross-encoder starts from: a mistake shows before an LLM is paid, not after.

        Raises:
            ModelError: there is no such model, or it cannot be reached or read.
        """
        config = self.config.ranker
        if config.cross_encoder and config.model and not self.workspace.record("ranker"):
            architecture_of(config.model)

    def check_multi_vector(self) -> None:
        """Whether the multi-vector retriever can be made: a mistake shows before an LLM is paid, not after.

        Raises:
            ModelError: its model cannot be loaded, or has vectors of fewer dimensions than `multi_vector.dimensions`.
        """
        config = self.config.multi_vector
        if (config.model is None and config.dimensions is None) or self.workspace.record("multi_vector"):
            return
        own = self.late_start.get_embedding_dimension()
        if config.dimensions and own and config.dimensions > own:
            raise ModelError(
                f"multi_vector.dimensions is {config.dimensions}, but the retriever's vectors have {own}. Lower it."
            )

    def check_retriever(self) -> None:
        """Whether the retriever can be trained: a mistake shows before an LLM is paid, not after.

        Raises:
            ModelError: it cannot be loaded, or it is a table of static vectors.
        """
        if self.workspace.record("retriever"):
            return
        if "attention_mask" not in self.model_before.preprocess(["any text"]):
            raise ModelError(
                f"retriever.model: {self.config.retriever.model} is a table of static vectors, which cannot be trained "
                "here. Name a transformer, such as sentence-transformers/all-MiniLM-L6-v2."
            )

    def ranking_options(self) -> list[Any]:
        """The teacher's options that the rankings depend on: they are part of the step's fingerprint."""
        teacher = self.config.teacher
        return [teacher.ranking_options(), load_template(teacher.template or f"{teacher.strategy}-v1").identity]

    @property
    def test_set(self) -> Dataset:
        """The dataset that figures are measured on: with an LLM's judgements, where there are no others."""
        return with_judgements(self.dataset, self.workspace.folder)

    @cached_property
    def account(self) -> str:
        """On which this experiment's calls to an LLM are noted: a name that stays with the workspace when it moves."""
        path = self.workspace.path("account.txt")
        if not path.is_file():
            self.workspace.write("account.txt", f"{uuid.uuid4().hex}\n")
        return path.read_text(encoding="utf-8").strip()

    def candidate_lists(self) -> list[CandidateList]:
        """What the teacher is to rank: the k candidates of every training query, or of as many as configured."""
        found = read_candidates(self.workspace.path("candidates.parquet"), self.dataset.corpus)
        return [self._candidate_list(query_id, found[query_id]) for query_id in self.queries_to_rank]

    def drawn_lists(self) -> list[CandidateList]:
        """As `candidate_lists`, of passages drawn at random: as long as those that a search would find, about."""
        draw, passages = np.random.default_rng(self.config.seed), len(self.dataset.corpus)
        return [
            self._candidate_list(query_id, draw.choice(passages, self.config.candidates.k, replace=False))
            for query_id in self.queries_to_rank
        ]

    def _candidate_list(self, query_id: str, positions: NDArray[np.int64]) -> CandidateList:
        dataset = self.dataset
        first = positions[: self.config.candidates.k]
        return CandidateList.at(first, dataset.corpus, query_id, dataset.queries[query_id].text)

    @property
    def queries_to_rank(self) -> list[str]:
        """The training queries that the teacher is asked about: all, or as many as configured."""
        asked = list(self.dataset.train)
        if self.config.teacher.queries is None:
            return asked
        # The first of a fixed order: to ask for more later pays for the new ones alone.
        order = np.random.default_rng(self.config.seed).permutation(len(asked))
        return [asked[row] for row in order[: self.config.teacher.queries]]

    def leaks(self) -> str:
        """How far the training queries leak into the test queries, in one sentence."""
        dataset = self.test_set
        if not dataset.test:
            return find_leaks(dataset).describe()
        taught, asked = (
            encode(self.model_before, dataset.texts_of(ids), "query", "encoding queries", 128)
            for ids in (dataset.train, dataset.test)
        )
        return find_leaks(dataset, taught, asked).describe()

    @cached_property
    def dataset_fingerprint(self) -> str:
        """A fingerprint of everything that the chain reads from the dataset."""
        return self.dataset.fingerprint()

    @cached_property
    def cross_encoder_start(self) -> str | None:
        """What the cross-encoder starts from; None: there is none. One that cannot rank yet adds nothing to a prior."""
        config = self.config.ranker
        if not config.cross_encoder or config.model:
            return config.model if config.cross_encoder else None
        if hub_has(RANKS_ALREADY):
            return RANKS_ALREADY
        return None if config.prior else self.config.retriever.model

    @cached_property
    def ranker_identity(self) -> list[str]:
        """What the cross-encoder starts from, if there is one."""
        return [model_identity(self.cross_encoder_start)] if self.cross_encoder_start else []

    @cached_property
    def retriever_identity(self) -> str:
        """The retriever to improve, by what it is: a folder of the same name may hold other weights by now."""
        return model_identity(self.config.retriever.model)

    @cached_property
    def multi_vector_identity(self) -> str:
        """What the multi-vector retriever is made from, by what it is."""
        own = self.config.multi_vector.model
        return model_identity(own) if own else self.retriever_identity

    @property
    def late_start(self) -> MultiVectorEncoder | SentenceTransformer:
        """What the multi-vector retriever is made from: a ColBERT model, or the retriever to improve."""
        own = self.config.multi_vector.model
        return load_multi_vector(own, self.config.device) if own else self.model_before

    @cached_property
    def model_before(self) -> SentenceTransformer:
        """The retriever to improve."""
        from rankstill.retriever import load_retriever  # loads torch

        return load_retriever(self.config.retriever, self.config.device)

    @cached_property
    def ray(self) -> RayEngine:
        """The configured Ray cluster; where none is running yet, it is started now.

        Raises:
            EngineError: there is no such cluster.
        """
        from rankstill.engine import RayEngine

        config = self.config.engine
        return RayEngine(config.address, workers=config.workers, cpus=config.cpus, gpus=config.gpus)

    @cached_property
    def cluster(self) -> Cluster | None:
        """The Ray cluster that runs the heavy steps; None where they run in this process. Errors as of `ray`."""
        config, retriever = self.config.engine, self.config.retriever
        if config.kind == "local":
            return None
        from rankstill.engine import ShardFolder
        from rankstill.engine.cluster import Cluster
        from rankstill.engine.encoding import Encoder

        store = config.store or str(self.workspace.path(".parts"))
        # A worker has another current folder, and may have another home.
        place = store if "://" in store else str(Path(store).expanduser().resolve())
        return Cluster(
            self.ray,
            ShardFolder(place),
            self.dataset.corpus,
            Encoder(retriever.model, retriever.query_prompt, retriever.passage_prompt, self.config.device),
            self.config.candidates,
        )

    @property
    def student_temperature(self) -> float:
        """With which the distilled retriever was trained."""
        from rankstill.retriever import USUAL_TEMPERATURE  # loads torch

        chosen = self.retriever_blend
        return chosen.temperature if chosen else self.config.retriever.student_temperature or USUAL_TEMPERATURE

    @property
    def retriever_blend(self) -> Blend | None:
        """How much of the distilled retriever's training was kept; None where that was not to be chosen."""
        from rankstill.retriever import Blend  # loads torch

        return Blend.load(self.workspace.path("retriever-blend.json"))

    @property
    def model_after(self) -> SentenceTransformer:
        """The distilled retriever."""
        return load_bi_encoder(str(self.workspace.path("retriever")), self.config.device)

    @property
    def has_multi_vector(self) -> bool:
        """Whether there is a multi-vector retriever."""
        made = self.workspace.record("token_index") is not None  # perhaps by another configuration
        wanted = made and "token_index" not in unneeded_steps(self.config, self.dataset)
        return wanted and any(self.workspace.path("multi-vector-index").iterdir())

    @property
    def multi_vector(self) -> MultiVectorEncoder:
        """The multi-vector retriever."""
        return load_multi_vector(str(self.workspace.path("multi-vector")), self.config.device)

    @property
    def has_distilled_multi_vector(self) -> bool:
        """Whether the multi-vector retriever was trained."""
        steps = list(self.workspace.records())
        # One from before this distilled retriever goes with another one.
        made = "reranker" in steps and "multi_vector_distilled" in steps[steps.index("reranker") :]
        return made and self.has_multi_vector and bool(self.config.multi_vector.epochs)

    @property
    def distilled_multi_vector(self) -> MultiVectorEncoder:
        """The multi-vector retriever, trained."""
        return load_multi_vector(str(self.workspace.path("multi-vector-distilled")), self.config.device)

    @property
    def late_model(self) -> MultiVectorEncoder | None:
        """The multi-vector retriever, where the first stage scores by it."""
        return self.multi_vector if self.has_multi_vector else None

    def with_late(self, first_stage: FirstStage) -> FirstStage:
        """A first stage that knows late interaction too, where there is a multi-vector retriever."""
        model = self.late_model
        if model is None:
            return first_stage

        return first_stage.with_late(MeanMaxSim(model, TokenIndex.load(self.workspace.path("multi-vector-index"))))

    @cached_property
    def before(self) -> FirstStage:
        """The first stage with the retriever as it was."""
        vectors = load_vectors(self.workspace.path("vectors"))
        index, _ = self.index or (None, None)
        return FirstStage(
            self.dataset.corpus, self.model_before, vectors, self.config.candidates, bm25=self.bm25, index=index
        )

    @cached_property
    def bm25(self) -> BM25Index:
        """The corpus's word index; it lies in the workspace, for every step and every later run."""
        return cached_index(self.dataset.corpus, self.config.candidates, self.workspace.path("bm25"))

    @cached_property
    def index(self) -> tuple[ApproximateIndex | None, IndexRecall] | None:
        """The approximate index over the vectors, if one is asked for, and how well it does on the user's queries."""
        config, record = self.config.candidates, self.workspace.record("vectors")
        if config.index is None:
            return None
        own = [*self.dataset.train, *self.dataset.test]
        rows = np.random.default_rng(self.config.seed).permutation(len(own))[:_QUERIES_TO_MEASURE_WITH]
        asked = self.dataset.texts_of(own[row] for row in sorted(rows.tolist()))
        return cached_approximate_index(
            np.load(self.workspace.path("vectors") / "passages.npy", mmap_mode="r"),
            config.index,
            encode(self.model_before, asked, "query", "encoding queries", 128),
            self.workspace.path("index"),
            least=config.least_recall,
            made_from=record.fingerprint if record else "",
            device=str(self.model_before.device),
        )

    def first_stage_after(self, vectors: Path, model: SentenceTransformer) -> FirstStage:
        """The first stage with the new retriever; BM25 is the same."""
        return FirstStage(self.dataset.corpus, model, load_vectors(vectors), self.config.candidates, bm25=self.bm25)

    def encode_corpus_after(self, model: SentenceTransformer, folder: Path) -> None:
        """Write the corpus's vectors by the new retriever, or the old ones where none of its training was kept."""
        blend = self.retriever_blend
        if blend and not blend.share and self.config.retriever.max_length is None:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.workspace.path("vectors") / "passages.npy", folder / "passages.npy")
        elif self.cluster is not None:
            from rankstill.engine.encoding import Encoder

            encoder = Encoder(str(self.workspace.path("retriever")), device=self.config.device)
            replace(self.cluster, encoder=encoder).encode_corpus(folder)
        else:
            encode_passages(model, self.dataset.corpus, folder)
