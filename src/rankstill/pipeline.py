"""The chain: LLM -> ranker -> retriever (Li et al. 2024, figure 1), step by step on one workspace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from rankstill.cache import cache_of_all
from rankstill.components import Components
from rankstill.config import Config, write_config
from rankstill.data import Dataset, lasting_source, load_dataset
from rankstill.data.sufficient import check_corpus, check_queries
from rankstill.distributed.processes import is_rank_zero
from rankstill.distributed.workspaces import open_workspace
from rankstill.evaluation import check_measures
from rankstill.evaluation.chain_agreement import measure_agreement
from rankstill.evaluation.chain_runs import evaluate_chain, search_by_chain
from rankstill.evaluation.holding_out import HELD_OUT_FILE
from rankstill.evaluation.judged import read_judgements
from rankstill.forecast import expected_seconds
from rankstill.labels.choice import check_white_box, unneeded_steps, white_box_identity
from rankstill.labels.making import make_labels
from rankstill.multi_vector.choosing import read_choice
from rankstill.multi_vector.making import make_distilled, make_multi_vector, make_token_index
from rankstill.outcome import Outcome, read_outcome
from rankstill.progress import forget_notes, note
from rankstill.ranker.making import make_ranker, make_reranker
from rankstill.report import write_report
from rankstill.report.model_card import write_cards
from rankstill.reporting import Reports
from rankstill.retrieval.making import make_candidates, make_hybrids, make_vectors
from rankstill.steps import STEPS, Plan
from rankstill.teacher.making import ask_for_rankings, take_rankings
from rankstill.workspace import DatasetIdentity, Workspace


def _once(step: Callable[[Chain], str]) -> Callable[[Chain], str]:
    """A step that several later ones ask for is looked up once a run."""

    @wraps(step)
    def run(self: Chain) -> str:
        if step.__name__ not in self._fingerprints:
            self._fingerprints[step.__name__] = step(self)
        return self._fingerprints[step.__name__]

    return run


def distill(
    config: Config,
    workspace: str | Path,
    dataset: Dataset | None = None,
    until: str = "evaluation",
    *,
    replace: bool = False,
) -> Outcome:
    """Distil an LLM's rankings into a retriever. Steps that the workspace already holds are not repeated.

    Args:
        config: the experiment.
        workspace: its folder; created if it does not exist.
        dataset: use this dataset instead of the one that the config names.
        until: the last step to make, one of `STEPS`.
        replace: delete finished steps of another dataset in this workspace, which is otherwise refused.

    Raises:
        RankstillError: a mistake that the user can fix; the message says what and where.
    """
    with open_chain(config, workspace, dataset, replace=replace) as chain:
        judges = config.judge.after_run and until == STEPS[-1] and is_rank_zero()
        if judges and chain.dataset.unjudged and not chain.dataset.test:
            from rankstill.judge.judging import run_and_judge  # loads openai, which takes half a second

            return run_and_judge(chain)
        return chain.run(until)


@contextmanager
def open_chain(
    config: Config, workspace: str | Path, dataset: Dataset | None = None, *, replace: bool = False
) -> Iterator[Chain]:
    """Open the chain on its workspace, and lock the workspace. Nothing is run yet.

    Arguments and errors as for `distill`.
    """
    # The dataset comes first: a mistake in it should leave no empty workspace behind.
    dataset = dataset or load_dataset(config.dataset)
    with open_workspace(workspace) as opened:
        opened.hold(identity(dataset, config), replace=replace)
        opened.cache = cache_of_all(config.cache_gb)
        yield Chain(config, opened, dataset)


def identity(dataset: Dataset, config: Config) -> DatasetIdentity:
    """The identity by which a workspace tells this dataset from others."""
    return DatasetIdentity(dataset.name, lasting_source(config.dataset), dataset.fingerprint())


class Chain:
    """One experiment, with one method for each step, in the order of `STEPS`."""

    def __init__(self, config: Config, workspace: Workspace, dataset: Dataset) -> None:
        self.config = config
        self.workspace = workspace
        self._fingerprints: dict[str, str] = {}
        self._offer = ""
        self.reports = Reports(config.report_to, workspace.folder)
        self.reports.check()
        self.components = Components(config, workspace, dataset)
        self.dataset = dataset
        # A baseline may learn from other labels than a ranker's, or than an LLM's rankings.
        self.steps = tuple(name for name in STEPS if name not in unneeded_steps(config, dataset))
        self.has_ranker = "ranker" in self.steps
        forget_notes()
        for each in self.dataset.notes:
            note(each)
        check_corpus(config, self.dataset)
        workspace.write("config.yaml", write_config(config))

    def run(self, until: str = "evaluation") -> Outcome:
        """Make this step and every earlier step that it needs, and return the result."""
        check_queries(self.dataset)
        if until in ("hybrid", "evaluation"):
            check_measures(self.config.evaluation.measures)  # now, and not after an hour of training
        names = self.planned(until)
        if is_rank_zero() and ("rankings" in names or "ranker" in names):
            self.components.check_teacher()
        if "ranker" in names:
            self.components.check_cross_encoder()
        if "multi_vector" in names:
            self.components.check_multi_vector()
        if "retriever" in names:
            self.components.check_retriever()
        if "labels" in names:
            check_white_box(self.config, self.dataset)
        here = self.config.engine.kind == "local" and is_rank_zero()  # workers' machines are not measured
        self.workspace.plan = Plan(names, (lambda: expected_seconds(self.components, names)) if here else None)
        for name in names:
            getattr(self, name)()
        return self.outcome()

    def planned(self, until: str = "evaluation") -> tuple[str, ...]:
        """The steps that a run makes: `until` and those that it needs."""
        return tuple(name for name in STEPS[: STEPS.index(until) + 1] if name == until or name in self.steps)

    @_once
    def vectors(self) -> str:
        """First stage: encode the corpus with the retriever before training."""
        retriever = self.config.retriever
        return self.workspace.step(
            "vectors",
            lambda folder: make_vectors(self.components, folder),
            outputs=("vectors",),
            settings=[self.components.retriever_identity, retriever.query_prompt, retriever.passage_prompt],
            inputs=[self.dataset.corpus.fingerprint],
            shared=True,
        )

    @_once
    def candidates(self) -> str:
        """First stage: find candidates for every query that may teach or be labelled."""
        return self.workspace.step(
            "candidates",
            lambda folder: make_candidates(self.components, folder),
            outputs=("candidates.parquet",),
            settings=[self._section("candidates")],
            inputs=[self.vectors(), self.components.dataset_fingerprint],
        )

    @_once
    def rankings(self) -> str:
        """Teacher: get the LLM's order of each training query's candidates."""
        if self.config.teacher.kind != "recorded":
            return self.workspace.step(
                "rankings",
                lambda folder: ask_for_rankings(self.components, folder),
                outputs=("rankings.jsonl", "teacher.json"),
                settings=[*self.components.ranking_options(), self.config.candidates.k, self.config.seed],
                inputs=[self.candidates()],
            )
        path = self.components.recorded_rankings
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return self.workspace.step(
            "rankings",
            lambda folder: take_rankings(self.components, folder),
            outputs=("rankings.jsonl",),
            settings=["recorded", content],
            inputs=[self.components.dataset_fingerprint],
        )

    @_once
    def held_out(self) -> str:
        """Draw the held-out rankings: they teach nothing, and measure what learned from the others."""
        return self.workspace.step(
            "held_out",
            lambda folder: self.components.lists.hold_out(folder, lambda: self.components.model_before),
            outputs=(HELD_OUT_FILE,),
            settings=[
                self.config.evaluation.holdout,
                self.config.seed,
                self.components.retriever_identity,
                self.config.retriever.query_prompt,
            ],
            inputs=[self.rankings()],
        )

    @_once
    def multi_vector(self) -> str:
        """LLM -> multi-vector retriever: make it from the untrained encoder."""
        config = self.config.multi_vector
        return self.workspace.step(
            "multi_vector",
            lambda folder: make_multi_vector(self.components, folder),
            outputs=("multi-vector", "multi-vector.json"),
            settings=[config.context, config.idf_power, *config.shape, self.components.multi_vector_identity],
            inputs=[self.dataset.corpus.fingerprint, self.held_out()],
        )

    @_once
    def token_index(self) -> str:
        """Encode the corpus with the multi-vector retriever. Rankings that choose the same context share it."""
        self.multi_vector()
        chosen, config = read_choice(self.components), self.config.multi_vector
        return self.workspace.step(
            "token_index",
            lambda folder: make_token_index(self.components, folder),
            outputs=("multi-vector-index",),
            settings=[self.components.multi_vector_identity, chosen and chosen.context, *config.shape, config.bits],
            inputs=[self.dataset.corpus.fingerprint],
            shared=True,
        )

    @_once
    def hybrid(self) -> str:
        """LLM -> hybrids: fit the weights of the first-stage scores to the LLM's rankings."""
        return self.workspace.step(
            "hybrid",
            lambda folder: make_hybrids(self.components, folder),
            outputs=("hybrid.json", *self._made_with_late()),
            settings=[],
            inputs=[self.candidates(), self.held_out(), *self._made_late()],
        )

    @_once
    def ranker(self) -> str:
        """LLM -> ranker: train the ranker on the LLM's rankings."""
        return self.workspace.step(
            "ranker",
            lambda folder: make_ranker(self.components, folder, self.reports),
            outputs=("ranker", "ranker-losses.json"),
            settings=[
                self._section("ranker"),
                self.config.seed,
                *(["both weights fitted"] if self.components.cross_encoder_start else []),
            ],
            inputs=[self.candidates(), self.held_out(), *self.components.ranker_identity, *self._made_late()],
        )

    @_once
    def labels(self) -> str:
        """Ranker -> labels: score passages with the ranker, or make the labels of a configured baseline."""
        made_from = [getattr(self, name)() for name in ("candidates", "held_out") if name in self.steps]
        return self.workspace.step(
            "labels",
            lambda folder: make_labels(self.components, folder, self.candidates(), has_ranker=self.has_ranker),
            outputs=("labels.parquet",),
            settings=[
                self._section("labels"),
                self.config.candidates.n,
                self.config.seed,
                *white_box_identity(self.config),
            ],
            inputs=[self.ranker()] if self.has_ranker else made_from,
        )

    @_once
    def retriever(self) -> str:
        """Labels -> retriever: train the retriever on the labels."""
        from rankstill.retriever.making import make_retriever  # loads torch

        return self.workspace.step(
            "retriever",
            lambda folder: make_retriever(self.components, folder, self.reports),
            outputs=("retriever", "retriever-losses.json", "retriever-blend.json"),
            settings=[self._section("retriever"), self.config.seed],
            inputs=[self.labels()],
        )

    @_once
    def reranker(self) -> str:
        """Encode the corpus with the new retriever, and refit the ranker's prior to it."""
        return self.workspace.step(
            "reranker",
            lambda folder: make_reranker(self.components, folder, has_ranker=self.has_ranker),
            outputs=("vectors-after", *(("reranker", "hybrid-distilled.json") if self.has_ranker else ())),
            settings=[],
            inputs=[self.retriever()],
        )

    @_once
    def multi_vector_distilled(self) -> str:
        """Labels -> multi-vector retriever: train it on the labels."""
        made = self._made_late()  # first: whether there is one at all
        names = ("multi-vector-losses.json", "multi-vector-blend.json", "hybrid-multi-vector-distilled.json")
        folders = ("multi-vector-distilled", "multi-vector-distilled-index")
        return self.workspace.step(
            "multi_vector_distilled",
            lambda folder: make_distilled(self.components, folder, self.reports),
            outputs=(*folders, *names) if self.components.has_multi_vector else (),
            settings=[self._section("multi_vector"), self._section("retriever"), self.config.seed],
            inputs=[self.labels(), self.reranker(), *made],
        )

    @_once
    def agreement(self) -> str:
        """Measure every system against the LLM's own order, on the lists that taught nothing."""
        return self.workspace.step(
            "agreement",
            lambda folder: measure_agreement(self.components, folder, with_ranker=self.has_ranker),
            outputs=("agreement.json",),
            settings=[self.config.evaluation.resamples, self.config.seed],
            inputs=[self.held_out(), self.reranker(), *self._made_late(), *self._distilled_late()],
        )

    @_once
    def runs(self) -> str:
        """Search with every system for the queries that measure."""
        unjudged = [(query_id, self.dataset.queries[query_id].text) for query_id in self.dataset.unjudged]
        return self.workspace.step(
            "runs",
            lambda folder: search_by_chain(self.components, folder, with_ranker=self.has_ranker),
            outputs=("runs",),
            settings=[self.config.evaluation.rerank_depth, unjudged],
            inputs=[self.reranker(), *self._made_late(), *self._distilled_late()],
        )

    @_once
    def evaluation(self) -> str:
        """Measure every system on the test queries, with paired tests against the retriever before training."""
        from rankstill.judge.offer import offer  # loads openai

        dataset = self.components.test_set
        judged = read_judgements(self.workspace.folder, self.dataset) if dataset.judged_by else None
        fingerprint = self.workspace.step(
            "evaluation",
            lambda folder: evaluate_chain(self.components, folder),
            outputs=("metrics.json", "runs/qrels.trec", "per-query.csv", "pairs.csv"),
            settings=[self._section("evaluation"), self.config.seed, *([judged.fingerprint] if judged else [])],
            inputs=[self.runs()],
        )
        if is_rank_zero():
            self._offer = offer(self.components)
            write_cards(self.components, self.outcome())
            write_report(self.workspace.folder, dataset, self._offer)
        return fingerprint

    def _made_late(self) -> list[str]:
        return [self.multi_vector(), self.token_index()] if "multi_vector" in self.steps else []

    def _distilled_late(self) -> list[str]:
        return [self.multi_vector_distilled()] if "multi_vector_distilled" in self.steps else []

    def _made_with_late(self) -> tuple[str, ...]:
        self._made_late()
        return ("hybrid-multi-vector.json",) if self.components.has_multi_vector else ()

    def outcome(self) -> Outcome:
        """What the workspace holds by now."""
        return read_outcome(self.components, self.steps, self._offer)

    def _section(self, name: str) -> Any:
        return getattr(self.config, name).model_dump(mode="json")
