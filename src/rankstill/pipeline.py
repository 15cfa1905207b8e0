"""The chain: LLM -> ranker -> retriever (Li et al. 2024, figure 1), step by step on one workspace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.config import Config, write_config
from rankstill.datasets import Dataset, load_dataset
from rankstill.errors import DataError
from rankstill.models import release_memory, save_model
from rankstill.parts import Parts, check_corpus, check_queries
from rankstill.progress import say
from rankstill.workspace import Workspace, write_atomically

if TYPE_CHECKING:
    from rankstill.evaluation import EvaluationTable

STEPS = ("candidates", "rankings", "ranker", "labels", "retriever", "reranker", "evaluation")
"""In order. Each needs those before it; running one runs whatever is missing of them first."""


def _once(step: Callable[[Chain], str]) -> Callable[[Chain], str]:
    """A step that several later ones ask for is looked up once a run."""

    @wraps(step)
    def run(self: Chain) -> str:
        if step.__name__ not in self._fingerprints:
            self._fingerprints[step.__name__] = step(self)
        return self._fingerprints[step.__name__]

    return run


@dataclass(frozen=True)
class Outcome:
    """What a chain made.

    Args:
        workspace: its folder.
        retriever: folder of the distilled retriever, for SentenceTransformer.
        reranker: folder of the ranker that goes on top of it, for `Ranker.load`.
        table: what was measured, or None if the dataset has nothing to measure with.
        notes: what a reader of the figures must know: leaks, what was left out, what could not be measured.
    """

    workspace: Path
    retriever: Path
    reranker: Path
    table: EvaluationTable | None
    notes: tuple[str, ...]


def distill(
    config: Config, workspace: str | Path, dataset: Dataset | None = None, until: str = "evaluation"
) -> Outcome:
    """Distil an LLM's rankings into a retriever. Steps that the workspace already holds are not repeated.

    Args:
        config: the experiment.
        workspace: its folder; made if it is not there.
        dataset: instead of loading the one that the config names.
        until: the last step to make, one of `STEPS`.

    Raises:
        RankstillError: something that the user can mend; the message says what and where.
    """
    with open_chain(config, workspace, dataset) as chain:
        return chain.run(until)


@contextmanager
def open_chain(config: Config, workspace: str | Path, dataset: Dataset | None = None) -> Iterator[Chain]:
    """The chain on its workspace, which nobody else uses meanwhile; nothing is run yet.

    Arguments and errors as for `distill`.
    """
    # The dataset comes first: a mistake in it should leave no empty workspace behind.
    dataset = dataset or load_dataset(config.dataset)
    with Workspace(workspace) as opened:
        yield Chain(config, opened, dataset)


class Chain:
    """One experiment: a method a step, in the order of `STEPS`.

    Args:
        config: the experiment.
        workspace: where its steps are kept.
        dataset: what it works on.
    """

    def __init__(self, config: Config, workspace: Workspace, dataset: Dataset) -> None:
        self.config = config
        self.workspace = workspace
        self._fingerprints: dict[str, str] = {}
        self.parts = Parts(config, workspace, dataset)
        self.dataset = dataset
        for note in self.dataset.notes:
            say(f"note: {note}")
        check_corpus(config, self.dataset)
        workspace.write("config.yaml", write_config(config))

    def run(self, until: str = "evaluation") -> Outcome:
        """Every step up to this one, and what came of it."""
        check_queries(self.dataset)
        if until != "candidates":
            self.parts.check_teacher()
        for name in STEPS[: STEPS.index(until) + 1]:
            getattr(self, name)()
        return self.outcome()

    @_once
    def candidates(self) -> str:
        """First stage: vectors of the corpus, and candidates of every query that may teach or be labelled."""
        retriever = self.config.retriever
        return self.workspace.step(
            "candidates",
            self._find_candidates,
            outputs=("vectors", "candidates.parquet"),
            settings=[
                self._section("candidates"),
                [self.parts.retriever_identity, retriever.query_prompt, retriever.passage_prompt],
            ],
            inputs=[self.parts.dataset_fingerprint],
        )

    def _find_candidates(self, folder: Path) -> None:
        from rankstill.candidates import FirstStage, PassageVectors, encode_corpus, write_candidates

        encode_corpus(self.parts.model_before, self.dataset.corpus, folder / "vectors")
        vectors = PassageVectors.load(folder / "vectors")
        first_stage = FirstStage(self.dataset.corpus, self.parts.model_before, vectors, self.config.candidates)
        asked = [*self.dataset.train, *self.dataset.extra]
        n = max(self.config.candidates.k, self.config.candidates.n)
        found = first_stage.search(self.dataset.texts_of(asked), n)
        write_candidates(dict(zip(asked, found, strict=True)), self.dataset.corpus, folder / "candidates.parquet")

    @_once
    def rankings(self) -> str:
        """Teacher: an order of each training query's candidates."""
        if self.config.teacher.kind != "recorded":
            return self.workspace.step(
                "rankings",
                self._ask_teacher,
                outputs=("rankings.jsonl", "teacher.json"),
                settings=[*self.parts.what_is_asked(), self.config.candidates.k, self.config.seed],
                inputs=[self.candidates()],
            )
        path = self.parts.recorded_rankings
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return self.workspace.step(
            "rankings",
            self._take_rankings,
            outputs=("rankings.jsonl",),
            settings=["recorded", content],
            inputs=[self.parts.dataset_fingerprint],
        )

    def _ask_teacher(self, folder: Path) -> Sequence[str]:
        from rankstill.teacher import write_rankings

        with self.parts.teacher() as teacher:
            rankings, health = teacher.rank(self.parts.candidate_lists())
        for line in health.lines():
            say(line)
        if not rankings:
            raise DataError(
                f"teacher {health.model}: no list got an answer that ranks anything, so there is nothing to learn. "
                "`rankstill check-teacher` shows what it says; a small model may need teacher.strategy: setwise."
            )
        write_rankings(rankings, folder / "rankings.jsonl")
        write_atomically(folder / "teacher.json", json.dumps(health.to_json(), ensure_ascii=False) + "\n")
        return health.lines()

    def _take_rankings(self, folder: Path) -> Sequence[str]:
        from rankstill.teacher import write_rankings

        rankings, notes = self.parts.recorded()
        write_rankings(rankings, folder / "rankings.jsonl")
        ranked = {ranking.query_id for ranking in rankings}
        missing = [query_id for query_id in self.dataset.train if query_id not in ranked]
        if missing:
            notes.append(f"{len(missing):,} training queries have no ranking and teach nothing ({missing[0]}, ...)")
        for note in notes:
            say(f"note: {note}")
        return notes

    @_once
    def ranker(self) -> str:
        """LLM -> ranker."""
        return self.workspace.step(
            "ranker",
            self._train_ranker,
            outputs=("ranker", "ranker-losses.json"),
            settings=[self._section("ranker"), self.config.seed],
            inputs=[self.candidates(), self.rankings(), *self.parts.ranker_identity],
        )

    def _train_ranker(self, folder: Path) -> None:
        from rankstill.candidates import PassageScorer
        from rankstill.ranker import train_ranker

        ranker = train_ranker(
            self.parts.ranked_lists(self.parts.before),
            self.config.ranker,
            self.config.retriever.model,
            folder,
            seed=self.config.seed,
            device=self.config.device,
        )
        ranker.first_stage = PassageScorer(self.parts.model_before, self.parts.before.bm25.statistics)
        ranker.save(folder / "ranker")

    @_once
    def labels(self) -> str:
        """Ranker -> labels."""
        return self.workspace.step(
            "labels",
            self._label,
            outputs=("labels.parquet",),
            settings=[self._section("labels"), self.config.candidates.n, self.config.seed],
            inputs=[self.ranker()],
        )

    def _label(self, folder: Path) -> None:
        from rankstill.baselines.contrastive import first_choice_labels, gold_labels
        from rankstill.candidates import read_candidates
        from rankstill.labels import asked_queries, label, sentences_as_queries, write_labels
        from rankstill.ranker import Ranker

        dataset, config = self.dataset, self.config.labels
        found = read_candidates(self.workspace.path("candidates.parquet"), dataset.corpus)
        ranker = Ranker.load(self.workspace.path("ranker"), self.config.device)
        free = ranker.prior_alone() if config.pseudo_by == "prior" else ranker
        n, depth, before = self.config.candidates.n, config.depth, self.parts.before
        labelled = []
        if config.ranked_by == "gold":
            labelled += gold_labels(dataset.train, found, dataset, n)
        elif config.ranked_by == "first-choice":
            labelled += first_choice_labels(self.parts.rankings, found, dataset, n)
        else:
            asked = asked_queries(dataset, self.parts.rankings, found, n)
            labelled += label(asked, before, ranker, folder / "asked", depth=depth, ranked_by=config.ranked_by)
        sentences = sentences_as_queries(dataset, before, config, self.config.seed)
        labelled += label(sentences, before, free, folder / "pseudo", depth=depth, ranked_by="ranker")
        write_labels(labelled, folder / "labels.parquet")
        release_memory()

    @_once
    def retriever(self) -> str:
        """Labels -> retriever."""
        return self.workspace.step(
            "retriever",
            self._train_retriever,
            outputs=("retriever", "retriever-losses.json", "head-losses.json"),
            settings=[self._section("retriever"), self._section("head"), self.config.seed],
            inputs=[self.labels()],
        )

    def _train_retriever(self, folder: Path) -> None:
        from rankstill.labels import read_labels
        from rankstill.retriever import put_head_on, train_retriever

        config, corpus = self.config.retriever, self.dataset.corpus
        labels = read_labels(self.workspace.path("labels.parquet"))
        model = train_retriever(labels, corpus, config, folder, seed=self.config.seed, device=self.config.device)
        curve: list[dict[str, float]] = []
        if not self.config.head.absent:
            model, curve = put_head_on(
                model,
                labels,
                corpus,
                self.config.head,
                # Training makes another encoder, whose vectors are not known yet.
                first_stage=None if config.epochs else self.parts.before,
                teacher_temperature=config.teacher_temperature,
                seed=self.config.seed,
            )
        write_atomically(folder / "head-losses.json", json.dumps(curve))
        save_model(model, folder / "retriever")

    @_once
    def reranker(self) -> str:
        """The ranker once more, its prior refitted to the new retriever: what goes on top of it."""
        return self.workspace.step(
            "reranker",
            self._refit_ranker,
            outputs=("vectors-after", "reranker"),
            settings=[],
            inputs=[self.retriever()],
        )

    def _refit_ranker(self, folder: Path) -> None:
        from rankstill.candidates import PassageScorer, encode_passages
        from rankstill.ranker import Ranker, refit_prior

        model = self.parts.model_after
        encode_passages(model, self.dataset.corpus, folder / "vectors-after")
        first_stage = self.parts.after(folder / "vectors-after", model)
        ranker = Ranker.load(self.workspace.path("ranker"), self.config.device)
        refitted = refit_prior(ranker, self.parts.ranked_lists(first_stage))
        refitted.first_stage = PassageScorer(model, first_stage.bm25.statistics, self.parts.model_before)
        refitted.save(folder / "reranker")

    @_once
    def evaluation(self) -> str:
        """Measure every system on the test queries, with paired tests against the retriever as it was."""
        fingerprint = self.workspace.step(
            "evaluation",
            self._evaluate,
            outputs=("metrics.json", "runs"),
            settings=[self._section("evaluation"), self.config.seed],
            inputs=[self.reranker()],
        )
        self._write_card()
        return fingerprint

    def outcome(self) -> Outcome:
        """What the workspace holds by now."""
        from rankstill.evaluation import EvaluationTable

        metrics = self.workspace.path("metrics.json")
        table = None
        if self.workspace.record("evaluation"):
            measured = json.loads(metrics.read_text(encoding="utf-8"))["table"]
            table = EvaluationTable.from_json(measured) if measured else None
        notes = [*self.dataset.notes]
        for record in self.workspace.records().values():
            notes += record.notes
        return Outcome(
            workspace=self.workspace.folder,
            retriever=self.workspace.path("retriever"),
            reranker=self.workspace.path("reranker"),
            table=table,
            notes=tuple(notes),
        )

    def _evaluate(self, folder: Path) -> Sequence[str]:
        from rankstill.evaluation import answer_qrels, evaluate_runs, merge_qrels, write_run

        test = self.dataset.test or tuple(
            query.id
            for query in self.dataset.queries.values()
            if query.answers and query.id not in set(self.dataset.train)
        )
        if not test:
            (folder / "runs").mkdir(exist_ok=True)
            write_atomically(folder / "metrics.json", json.dumps({"table": None}) + "\n")
            return ["no test queries with judgements or answers: the gain could not be measured"]
        runs = self._runs(test)
        for name, run in runs.items():
            write_run(run, folder / "runs" / f"{name.replace(' ', '-')}.trec", name.replace(" ", "-"))
        queries = [self.dataset.queries[query_id] for query_id in test]
        qrels = self.dataset.test_qrels() or merge_qrels(
            [answer_qrels(run, queries, self.dataset.corpus) for run in runs.values()]
        )
        evaluation = self.config.evaluation
        table = evaluate_runs(
            runs, qrels, "retriever before", evaluation.measures, self.config.seed, evaluation.resamples
        )
        leaks = self.parts.leaks()
        write_atomically(folder / "metrics.json", json.dumps({"table": table.to_json(), "leaks": leaks}) + "\n")
        answers = "no judgements: a passage is relevant if it holds an accepted answer, among all that a system found"
        return [leaks if self.dataset.test else answers]

    def _runs(self, test: Sequence[str]) -> dict[str, Any]:
        """TREC runs of every system over the test queries."""
        from rankstill.evaluation.systems import dense_run, fused_run, lexical_run, reranked_run
        from rankstill.ranker import Ranker

        queries = {query_id: self.dataset.queries[query_id].text for query_id in test}
        before = self.parts.before
        after = self.parts.after(self.workspace.path("vectors-after"), self.parts.model_after)
        depth, device = self.config.evaluation.rerank_depth, self.config.device
        ranker = Ranker.load(self.workspace.path("ranker"), device)
        reranker = Ranker.load(self.workspace.path("reranker"), device)
        return {
            "BM25": lexical_run(before, queries),
            "retriever before": dense_run(before, queries),
            "first stage": fused_run(before, queries),
            "ranker": reranked_run(before, ranker, queries, depth),
            "retriever AFTER": dense_run(after, queries),
            "ranker on AFTER": reranked_run(after, reranker, queries, depth),
        }

    def _write_card(self) -> None:
        from rankstill.retriever.card import model_card

        text = model_card(self.config, self.dataset, self.outcome())
        self.workspace.write("retriever/README.md", text)

    def _section(self, name: str) -> Any:
        return getattr(self.config, name).model_dump(mode="json")
