"""Run a study: every variant with every seed on one workspace, one after the other, each finished run kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from rankstill.config import Config, make_config
from rankstill.data import Dataset, hold_out, load_dataset
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation import read_run, write_run
from rankstill.evaluation.chain_runs import chain_systems
from rankstill.evaluation.systems import (
    DISTILLED,
    HYBRID_BEFORE,
    HYBRID_DISTILLED,
    RANKER,
    RANKER_ON_DISTILLED,
    SYSTEMS,
    dense_run,
    run_name,
)
from rankstill.extras.studies.table import StudyTable, VariantResult, study_table
from rankstill.extras.studies.variants import Study, StudyData, Variant, draw, relist, shorten
from rankstill.labels.choice import white_box_identity
from rankstill.models import model_identity
from rankstill.pipeline import Chain, identity
from rankstill.progress import say
from rankstill.report.page import machine
from rankstill.teacher import Ranking, write_rankings
from rankstill.workspace import Workspace, digest

_DEPTH = 100
_RUN_FORMAT = 3


def run_study(
    study: Study,
    config: Config,
    folder: str | Path,
    seeds: int,
    only: Sequence[str] = (),
    validate: bool = False,
    command: str = "",
) -> StudyTable:
    """Train and measure the variants; what is finished is not run again, and what variants share is made once.

    Writes `<study>.csv`, `<study>.md` and `<study>.svg` after every variant, of what there is by then.

    Args:
        config: what the variants change. No list is held out, unless `evaluation.holdout` is set to other than its
            default.
        folder: for runs, lists and the one workspace that all variants work on.
        seeds: of each variant: config.seed, the next, and so on.
        only: names of variants to run, if not all; those that they are compared with are run as well, and what is
            finished stays in the table.
        validate: measure on a third of the judged training queries, which then do not teach, in `validation/` of the
            folder.
        command: that makes this, to be shown below the table.

    Raises:
        DataError: there is nothing to measure with.
        RankstillError: a variant has no such name; or as the chain.
    """
    dataset, folder = load_dataset(config.dataset), Path(folder)
    if config.evaluation.holdout == type(config.evaluation).model_fields["holdout"].default:
        # Judged queries measure here, and a study of the lists should lose none.
        config = make_config(config.model_dump(mode="json"), {"evaluation.holdout": 0.0}, f"study {study.name}")
    if validate:
        dataset, folder = hold_out(dataset), folder / "validation"
    if not dataset.test_qrels():
        raise DataError(f"{dataset.name}: a study needs test queries with judgements. Set dataset.test_split.")
    with Workspace(folder / "work") as workspace:
        workspace.hold(identity(dataset, config))
        bench = _StudyWorkspace(study, config, folder, workspace, dataset)
        variants = study.variants(bench.material)
        chosen = _chosen(study, variants, only)
        measured: list[VariantResult] = []
        for seed in range(config.seed, config.seed + seeds):
            for variant in variants:
                # The table keeps what an earlier run has measured and this one did not ask for.
                if variant.name not in chosen and not bench.finished(variant, seed):
                    continue
                measured.append(bench.measure(variant, seed))
                table = study_table(study, measured, bench.before, dataset, config.evaluation)
                table.write(folder, _made(command))
    return table


def _made(command: str) -> str:
    told = f"`{command}`, " if command else ""
    return f"Last run: {told}{date.today()}, {machine()}. Finished runs are kept."


def _chosen(study: Study, variants: Sequence[Variant], only: Sequence[str]) -> set[str]:
    """The names asked for, and whatever these are compared with."""
    against = {variant.name: variant.against for variant in variants}
    for name in only:
        if name not in against:
            raise RankstillError(f"study {study.name}: no variant {name}. Name some of: {', '.join(against)}.")
    chosen: set[str] = set()
    asked = list(only or against)
    while asked:
        name = asked.pop()
        chosen.add(name)
        asked += filter(None, [against[name]])
    return chosen


class _StudyWorkspace:
    """What the variants of a study share: the first stage, the LLM's rankings, and one workspace to work on.

    A run lies under a name that follows from everything it depends on, so that studies share what they have in common.
    """

    def __init__(self, study: Study, config: Config, folder: Path, workspace: Workspace, dataset: Dataset) -> None:
        self.study = study
        self.config = config
        self.folder = folder
        self.workspace = workspace
        chain = Chain(config, workspace, dataset)
        chain.run("held_out" if "rankings" in chain.steps else "candidates")
        self.rankings = chain.components.lists.training if "rankings" in chain.steps else []
        answers = any(dataset.queries[query_id].answers for query_id in dataset.train)
        self.material = StudyData(len(self.rankings), answers, config, chain.has_ranker)
        self.dataset = replace(dataset, notes=())  # they were said once
        self.identity = [chain.components.dataset_fingerprint, chain.components.retriever_identity]
        self.queries = {query_id: dataset.queries[query_id].text for query_id in dataset.test}
        self.before = dense_run(chain.components.before, self.queries)
        texts = dataset.texts_of(ranking.query_id for ranking in self.rankings)
        self.found = {
            ranking.query_id: [dataset.corpus.ids[int(position)] for position in candidates.positions]
            for ranking, candidates in zip(self.rankings, chain.components.before.search(texts, _DEPTH), strict=True)
        }
        (folder / "runs").mkdir(exist_ok=True)

    def finished(self, variant: Variant, seed: int) -> bool:
        """Whether the variant was measured before."""
        return self._path(self._config(variant, seed), self._lists(variant, seed), variant.system).exists()

    def measure(self, variant: Variant, seed: int) -> VariantResult:
        """The variant's runs; trained and searched with, unless that was done before."""
        config, lists = self._config(variant, seed), self._lists(variant, seed)
        path, of_ranker = (self._path(config, lists, system) for system in (variant.system, RANKER))
        if not path.exists():
            say(f"--- study {self.study.name}, seed {seed}: {variant.name}: {variant.what}")
            write_rankings(lists, self.folder / "lists.jsonl")
            chain = Chain(config, self.workspace, self.dataset)
            early = variant.trained and not SYSTEMS[variant.system].distilled
            chain.run("ranker" if early else "reranker" if variant.trained else "candidates")
            systems = chain_systems(chain.components, self.queries, with_ranker=chain.has_ranker)
            # What one training made is measured at once. The retriever's run, written last, says that it is finished.
            made: tuple[str, ...] = (variant.system,)
            if variant.system in (HYBRID_BEFORE, RANKER):
                made = (HYBRID_BEFORE, RANKER)
            elif variant.trained and not early:
                made = (HYBRID_BEFORE, HYBRID_DISTILLED, RANKER, RANKER_ON_DISTILLED, DISTILLED)
            for system in made:
                if system in systems:
                    write_run(systems[system](), self._path(config, lists, system), run_name(system))
        ranker = read_run(of_ranker) if variant.system == DISTILLED and of_ranker.exists() else None
        return VariantResult(variant, seed, read_run(path), ranker)

    def _config(self, variant: Variant, seed: int) -> Config:
        seed = seed if variant.trained else self.config.seed
        replayed = {"teacher.kind": "recorded", "teacher.rankings": str(self.folder / "lists.jsonl")}
        late = {"multi_vector.make": True} if SYSTEMS[variant.system].late else {}
        return make_config(
            self.config.model_dump(mode="json"),
            {**variant.changes, **replayed, **late, "seed": seed},
            f"study {self.study.name}, {variant.name}",
        )

    def _lists(self, variant: Variant, seed: int) -> list[Ranking]:
        lists = relist(self.rankings, variant.lists, self.found, self.dataset.qrels, seed)
        if variant.k is not None:
            lists = shorten(lists, variant.k, self.found)
        return lists if variant.size is None else draw(lists, variant.size, seed)

    def _path(self, config: Config, lists: Sequence[Ranking], system: str) -> Path:
        """Where a system's run lies."""
        beside = {"dataset", "teacher", "evaluation", "judge", "rag", "device", "engine", "report_to"}
        settings = [config.model_dump(mode="json", exclude=beside), config.evaluation.rerank_depth]
        settings += [config.evaluation.holdout] if config.evaluation.holdout else []
        weights = [config.ranker.model and model_identity(config.ranker.model), *white_box_identity(config)]
        said = [ranking.__dict__ for ranking in lists]
        name = digest(_RUN_FORMAT, settings, weights, said, self.identity)
        return self.folder / "runs" / f"{name}-{run_name(system)}.trec"
