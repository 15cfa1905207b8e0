"""The chain: LLM -> ranker -> retriever (Li et al. 2024, figure 1), step by step on one workspace."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.compute.memory import release_memory
from rankstill.config import Config, write_config
from rankstill.datasets import Dataset, lasting_source, load_dataset
from rankstill.distributed.processes import leads, trained_by
from rankstill.distributed.workspaces import open_workspace
from rankstill.models import save_model
from rankstill.outcome import Outcome
from rankstill.parts import RANKS_ALREADY, Parts, check_corpus, check_queries
from rankstill.progress import forget_notes, note
from rankstill.reporting import Reports
from rankstill.steps import Plan
from rankstill.workspace import DatasetIdentity, Workspace

if TYPE_CHECKING:
    from rankstill.labels import LabelledQuery
    from rankstill.retriever import JudgingList, Lessons

STEPS = (
    "vectors",
    "candidates",
    "rankings",
    "held_out",
    "multi_vector",
    "token_index",
    "ranker",
    "labels",
    "retriever",
    "reranker",
    "multi_vector_distilled",
    "agreement",
    "runs",
    "evaluation",
)
"""In order. Running one runs whatever it needs of those before it first."""


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
        workspace: its folder; made if it is not there.
        dataset: instead of loading the one that the config names.
        until: the last step to make, one of `STEPS`.
        replace: delete finished steps of another dataset in this workspace, which is otherwise refused.

    Raises:
        RankstillError: something that the user can mend; the message says what and where.
    """
    if config.judge.after_run and until == STEPS[-1] and leads():
        dataset = dataset or load_dataset(config.dataset)
        if dataset.unjudged and not dataset.test:
            from rankstill.judge import run_and_judge

            return run_and_judge(config, workspace, dataset, replace=replace)
    with open_chain(config, workspace, dataset, replace=replace) as chain:
        return chain.run(until)


@contextmanager
def open_chain(
    config: Config, workspace: str | Path, dataset: Dataset | None = None, *, replace: bool = False
) -> Iterator[Chain]:
    """The chain on its workspace, which nobody else uses meanwhile; nothing is run yet.

    Arguments and errors as for `distill`.
    """
    # The dataset comes first: a mistake in it should leave no empty workspace behind.
    dataset = dataset or load_dataset(config.dataset)
    with open_workspace(workspace) as opened:
        opened.hold(identity(dataset, config), replace=replace)
        yield Chain(config, opened, dataset)


def identity(dataset: Dataset, config: Config) -> DatasetIdentity:
    """By what a workspace tells this dataset from another."""
    return DatasetIdentity(dataset.name, lasting_source(config.dataset), dataset.fingerprint())


class Chain:
    """One experiment: a method a step, in the order of `STEPS`.

    Args:
        config: the experiment.
        workspace: where its steps are kept.
        dataset: what it works on.
    """

    def __init__(self, config: Config, workspace: Workspace, dataset: Dataset) -> None:
        from rankstill.baselines import unneeded_steps

        self.config = config
        self.workspace = workspace
        self._fingerprints: dict[str, str] = {}
        self._offer = ""
        self.reports = Reports(config.report_to, workspace.folder)
        self.reports.check()
        self.parts = Parts(config, workspace, dataset)
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
        """Every step that is needed up to this one, which is made in any case, and what came of it."""
        from rankstill.baselines import check_white_box
        from rankstill.evaluation import check_measures

        check_queries(self.dataset)
        if until == "evaluation":
            check_measures(self.config.evaluation.measures)  # now, and not after an hour of training
        names = [name for name in STEPS[: STEPS.index(until) + 1] if name == until or name in self.steps]
        if leads() and ("rankings" in names or "ranker" in names):
            self.parts.check_teacher()
        if "ranker" in names:
            self.parts.check_cross_encoder()
        if "labels" in names:
            check_white_box(self.config, self.dataset)
        self.workspace.plan = Plan(names)
        for name in names:
            getattr(self, name)()
        return self.outcome()

    @_once
    def vectors(self) -> str:
        """First stage: the corpus by the retriever as it is."""
        retriever = self.config.retriever
        return self.workspace.step(
            "vectors",
            self._encode_corpus,
            outputs=("vectors",),
            settings=[
                self.parts.retriever_identity,
                retriever.query_prompt,
                retriever.passage_prompt,
            ],
            inputs=[self.dataset.corpus.fingerprint],
        )

    def _encode_corpus(self, folder: Path) -> None:
        from rankstill.candidates import encode_passages

        if self.parts.cluster is not None:
            self.parts.cluster.encode_corpus(folder / "vectors")
            return
        encode_passages(self.parts.model_before, self.dataset.corpus, folder / "vectors")

    @_once
    def candidates(self) -> str:
        """First stage: candidates of every query that may teach or be labelled."""
        return self.workspace.step(
            "candidates",
            self._find_candidates,
            outputs=("candidates.parquet",),
            settings=[self._section("candidates")],
            inputs=[self.vectors(), self.parts.dataset_fingerprint],
        )

    def _find_candidates(self, folder: Path) -> Sequence[str]:
        from rankstill.candidates import write_candidates

        asked = [*self.dataset.train, *self.dataset.extra]
        n = max(self.config.candidates.k, self.config.candidates.n)
        first_stage = self.parts.cluster or self.parts.before
        found = first_stage.search(self.dataset.texts_of(asked), n)
        write_candidates(dict(zip(asked, found, strict=True)), self.dataset.corpus, folder / "candidates.parquet")
        if self.parts.index is None:
            return []
        told = self.parts.index[1].describe()
        note(told)
        return [told]

    @_once
    def rankings(self) -> str:
        """Teacher: an order of each training query's candidates."""
        from rankstill.teaching.rankings import ask_for_rankings, take_rankings

        if self.config.teacher.kind != "recorded":
            return self.workspace.step(
                "rankings",
                lambda folder: ask_for_rankings(self.parts, folder),
                outputs=("rankings.jsonl", "teacher.json"),
                settings=[*self.parts.what_is_asked(), self.config.candidates.k, self.config.seed],
                inputs=[self.candidates()],
            )
        path = self.parts.recorded_rankings
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return self.workspace.step(
            "rankings",
            lambda folder: take_rankings(self.parts, folder),
            outputs=("rankings.jsonl",),
            settings=["recorded", content],
            inputs=[self.parts.dataset_fingerprint],
        )

    @_once
    def held_out(self) -> str:
        """Which rankings teach nothing, so that what learns from the others can be measured on them."""
        from rankstill.evaluation.holding_out import FILE

        return self.workspace.step(
            "held_out",
            self.parts.hold_out,
            outputs=(FILE,),
            settings=[
                self.config.evaluation.holdout,
                self.config.seed,
                self.parts.retriever_identity,
                self.config.retriever.query_prompt,
            ],
            inputs=[self.rankings()],
        )

    @_once
    def multi_vector(self) -> str:
        """LLM -> multi-vector retriever, from the encoder as it was."""
        from rankstill.multi_vector.making import make_multi_vector

        config = self.config.multi_vector
        return self.workspace.step(
            "multi_vector",
            lambda folder: make_multi_vector(self.parts, folder),
            outputs=("multi-vector", "multi-vector.json"),
            settings=[config.context, config.idf_power, config.pooling, self.parts.retriever_identity],
            inputs=[self.dataset.corpus.fingerprint, self.held_out()],
        )

    @_once
    def token_index(self) -> str:
        """The corpus by the multi-vector retriever. Other rankings that choose the same context share it."""
        from rankstill.multi_vector.making import make_token_index, read_choice

        self.multi_vector()
        chosen, config = read_choice(self.parts), self.config.multi_vector
        return self.workspace.step(
            "token_index",
            lambda folder: make_token_index(self.parts, folder),
            outputs=("multi-vector-index",),
            settings=[self.parts.retriever_identity, chosen and chosen.context, config.pooling, config.bits],
            inputs=[self.dataset.corpus.fingerprint],
        )

    @_once
    def ranker(self) -> str:
        """LLM -> ranker."""
        return self.workspace.step(
            "ranker",
            self._train_ranker,
            outputs=("ranker", "ranker-losses.json", "hybrid.json", *self._made_with_late()),
            settings=[self._section("ranker"), self.config.seed, "with hybrids"],
            inputs=[self.candidates(), self.held_out(), *self.parts.ranker_identity, *self._made_late()],
        )

    def _train_ranker(self, folder: Path) -> Sequence[str]:
        from rankstill.candidates import PassageScorer
        from rankstill.hybrid import fit_hybrid
        from rankstill.multi_vector import TokenIndex
        from rankstill.multi_vector.making import fit_multi_vector_hybrid
        from rankstill.ranker import train_ranker

        lists = self.parts.ranked_lists(self.parts.with_late(self.parts.before))
        ranker = train_ranker(
            lists,
            self.config.ranker,
            self.parts.cross_encoder_start,
            folder,
            seed=self.config.seed,
            device=self.config.device,
            reports=self.reports,
        )
        bm25, late = self.parts.before.bm25.statistics, self.parts.late_model
        ranker.first_stage = PassageScorer(self.parts.model_before, bm25, late=late)
        ranker.save(folder / "ranker")
        fit_hybrid(lists, self.config.candidates).save(folder / "hybrid.json")
        if self.parts.has_multi_vector:
            index = TokenIndex.load(self.workspace.path("multi-vector-index"))
            weights = fit_multi_vector_hybrid(self.parts, self.parts.rankings, self.parts.multi_vector, index)
            weights.save(folder / "hybrid-multi-vector.json")
        config, start = self.config.ranker, self.parts.cross_encoder_start
        if not config.cross_encoder:
            return []
        notes = list(trained_by(config.lists_per_step, "ranker") if start else ())
        if start and ranker.cross_encoder is None:
            notes = [f"the ranker has no cross-encoder: {start} adds nothing to the prior on the LLM's rankings"]
        if config.model or start == RANKS_ALREADY:
            return notes
        instead = "the cross-encoder started from the retriever" if start else "the ranker has no cross-encoder"
        return [*notes, f"{instead}: {RANKS_ALREADY} could not be had from the hub. ranker.model names another one"]

    @_once
    def labels(self) -> str:
        """Ranker -> labels; or, where a baseline is configured, the labels that it learns from."""
        from rankstill.baselines import white_box_identity

        made_from = [getattr(self, name)() for name in ("candidates", "held_out") if name in self.steps]
        return self.workspace.step(
            "labels",
            self._label,
            outputs=("labels.parquet",),
            settings=[
                self._section("labels"),
                self.config.candidates.n,
                self.config.seed,
                *white_box_identity(self.config),
            ],
            inputs=[self.ranker()] if self.has_ranker else made_from,
        )

    def _label(self, folder: Path) -> None:
        from rankstill.baselines import label_without_ranker
        from rankstill.candidates import read_candidates
        from rankstill.labels import write_labels
        from rankstill.labels.by_ranker import label_by_ranker

        found = read_candidates(self.workspace.path("candidates.parquet"), self.dataset.corpus)
        labelled: Iterable[LabelledQuery] = label_without_ranker(self.parts, found, self.candidates())
        if self.has_ranker:
            labelled = itertools.chain(labelled, label_by_ranker(self.parts, found, folder))
        write_labels(labelled, folder / "labels.parquet")
        release_memory()

    @_once
    def retriever(self) -> str:
        """Labels -> retriever."""
        return self.workspace.step(
            "retriever",
            self._train_retriever,
            outputs=("retriever", "retriever-losses.json", "retriever-blend.json"),
            settings=[self._section("retriever"), self.config.seed],
            inputs=[self.labels()],
        )

    def _train_retriever(self, folder: Path) -> Sequence[str]:
        from rankstill.retriever import Blend, train_retriever

        model = train_retriever(self._lessons(), folder, self.config.device, self.reports)
        save_model(model, folder / "retriever")
        blend = json.loads((folder / "retriever-blend.json").read_text(encoding="utf-8"))
        notes = trained_by(self.config.retriever.lists_per_step, "retriever")
        return [*notes, *([Blend(**blend).describe()] if blend else [])]

    def _lessons(self) -> Lessons:
        """What a student learns from: labels, and the rankings that do not teach but judge what was learned."""
        from rankstill.baselines import query_loss
        from rankstill.labels import read_labels
        from rankstill.retriever import Lessons

        labels = read_labels(self.workspace.path("labels.parquet"))
        judges: list[JudgingList] = []
        if "rankings" in self.steps:
            judges, held = self.parts.judging_lists(), {each.query_id for each in self.parts.judging_rankings}
            labels = [query for query in labels if query.id not in held]
        divergence = query_loss(self.config)
        return Lessons(labels, self.dataset.corpus, self.config.retriever, self.config.seed, divergence, judges)

    @_once
    def reranker(self) -> str:
        """The corpus by the new retriever, and the ranker once more, its prior refitted: what goes on top of it."""
        return self.workspace.step(
            "reranker",
            self._refit_ranker,
            outputs=("vectors-after", *(("reranker", "hybrid-distilled.json") if self.has_ranker else ())),
            settings=[],
            inputs=[self.retriever()],
        )

    def _refit_ranker(self, folder: Path) -> None:
        from rankstill.candidates import PassageScorer
        from rankstill.hybrid import fit_hybrid
        from rankstill.ranker import Ranker, refit_prior

        model = self.parts.model_after
        self.parts.encode_corpus_after(model, folder / "vectors-after")
        if not self.has_ranker:
            return
        first_stage = self.parts.with_late(self.parts.after(folder / "vectors-after", model))
        ranker = Ranker.load(self.workspace.path("ranker"), self.config.device)
        weigh_by = self.parts.rankings_to_weigh_by(self.parts.retriever_blend)
        lists = self.parts.ranked_lists(first_stage, weigh_by)
        refitted = refit_prior(ranker, lists)
        bm25, late = first_stage.bm25.statistics, self.parts.late_model
        refitted.first_stage = PassageScorer(model, bm25, late=late)
        refitted.save(folder / "reranker")
        fit_hybrid(lists, self.config.candidates).save(folder / "hybrid-distilled.json")

    @_once
    def multi_vector_distilled(self) -> str:
        """Labels -> multi-vector retriever."""
        made = self._made_late()  # first: whether there is one at all
        names = ("multi-vector-losses.json", "multi-vector-blend.json", "hybrid-multi-vector-distilled.json")
        folders = ("multi-vector-distilled", "multi-vector-distilled-index")
        return self.workspace.step(
            "multi_vector_distilled",
            self._distil_multi_vector,
            outputs=(*folders, *names) if self.parts.has_multi_vector else (),
            settings=[self._section("multi_vector"), self._section("retriever"), self.config.seed],
            inputs=[self.labels(), *made],
        )

    def _distil_multi_vector(self, folder: Path) -> Sequence[str]:
        from rankstill.multi_vector.making import make_distilled

        if not self.parts.has_multi_vector:
            return []
        return make_distilled(self.parts, self._lessons(), folder, self.reports)

    @_once
    def agreement(self) -> str:
        """Measure every system against the LLM's own order, on the lists that taught nothing."""
        from rankstill.evaluation.chain_agreement import measure_agreement

        return self.workspace.step(
            "agreement",
            lambda folder: measure_agreement(self.parts, folder, with_ranker=self.has_ranker),
            outputs=("agreement.json",),
            settings=[self.config.evaluation.resamples, self.config.seed],
            inputs=[self.held_out(), self.reranker(), *self._made_late(), *self._distilled_late()],
        )

    @_once
    def runs(self) -> str:
        """Search with every system for the queries that measure."""
        from rankstill.evaluation.chain_runs import search_by_chain

        unjudged = [(query_id, self.dataset.queries[query_id].text) for query_id in self.dataset.unjudged]
        return self.workspace.step(
            "runs",
            lambda folder: search_by_chain(self.parts, folder, with_ranker=self.has_ranker),
            outputs=("runs",),
            settings=[self.config.evaluation.rerank_depth, unjudged],
            inputs=[self.reranker(), *self._made_late(), *self._distilled_late()],
        )

    @_once
    def evaluation(self) -> str:
        """Measure every system on the test queries, with paired tests against the retriever as it was."""
        from rankstill.evaluation.chain_runs import evaluate_chain
        from rankstill.evaluation.judged import read_judgements
        from rankstill.judge.offer import offer
        from rankstill.report import write_report

        dataset = self.parts.test_set
        judged = read_judgements(self.workspace.folder, self.dataset) if dataset.judged_by else None
        fingerprint = self.workspace.step(
            "evaluation",
            lambda folder: evaluate_chain(self.parts, folder),
            outputs=("metrics.json", "runs/qrels.trec", "per-query.csv", "pairs.csv"),
            settings=[self._section("evaluation"), self.config.seed, *([judged.fingerprint] if judged else [])],
            inputs=[self.runs()],
        )
        if leads():
            self._offer = offer(self.parts)
            self._write_card()
            write_report(self.workspace.folder, dataset, self._offer)
        return fingerprint

    def _made_late(self) -> list[str]:
        return [self.multi_vector(), self.token_index()] if "multi_vector" in self.steps else []

    def _distilled_late(self) -> list[str]:
        return [self.multi_vector_distilled()] if "multi_vector_distilled" in self.steps else []

    def _made_with_late(self) -> tuple[str, ...]:
        self._made_late()
        return ("hybrid-multi-vector.json",) if self.parts.has_multi_vector else ()

    def outcome(self) -> Outcome:
        """What the workspace holds by now."""
        from rankstill.evaluation import EvaluationTable
        from rankstill.evaluation.chain_agreement import read_agreement

        metrics = self.workspace.path("metrics.json")
        table = None
        if self.workspace.record("evaluation"):
            measured = json.loads(metrics.read_text(encoding="utf-8"))["table"]
            table = EvaluationTable.from_json(measured) if measured else None
        agreed = "agreement" in self.steps and self.workspace.record("agreement") is not None
        notes = [*self.dataset.notes]
        for name, record in self.workspace.records().items():
            notes += record.notes if name in self.steps else ()
        return Outcome(
            workspace=self.workspace.folder,
            retriever=self.workspace.path("retriever"),
            reranker=self.workspace.path("reranker") if self.has_ranker else None,
            table=table,
            notes=tuple(notes),
            offer=self._offer,
            agreement=read_agreement(self.workspace.folder) if agreed else None,
        )

    def _write_card(self) -> None:
        from rankstill.multi_vector.making import read_choice
        from rankstill.retriever.card import model_card, multi_vector_card

        outcome = self.outcome()
        self.workspace.write("retriever/README.md", model_card(self.config, self.dataset, outcome))
        chosen = read_choice(self.parts) if self.parts.has_multi_vector else None
        if chosen is not None:
            text = multi_vector_card(self.config, self.dataset, outcome, chosen)
            self.workspace.write("multi-vector/README.md", text)

    def _section(self, name: str) -> Any:
        return getattr(self.config, name).model_dump(mode="json")
