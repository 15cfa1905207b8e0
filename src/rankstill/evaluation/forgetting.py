"""Forgetting: the retriever before and after training, on a dataset that training did not use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rankstill.data import Corpus, Dataset
from rankstill.errors import DataError, WorkspaceError
from rankstill.evaluation.metrics import DEFAULT_MEASURES
from rankstill.evaluation.systems import BEFORE, DISTILLED, encoded_run
from rankstill.evaluation.table import EvaluationTable, evaluate_runs

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.components import Components


@dataclass(frozen=True)
class Forgetting:
    """One retriever before and after its training, on another dataset."""

    dataset: str
    table: EvaluationTable
    notes: tuple[str, ...] = ()

    def conclusion(self) -> str:
        """Whether something was forgotten, in one sentence, by the table's first measure."""
        measure = self.table.measures[0]
        comparisons = self.table.system(DISTILLED).comparisons
        assert comparisons is not None  # it is not the baseline
        found = comparisons[measure]
        if found.low <= 0 <= found.high:
            verdict = "no significant change with this many queries"
        else:
            verdict = "something was forgotten" if found.high < 0 else "nothing was forgotten, it got better"
        return (
            f"On {self.dataset} {measure} went from {found.before:.3f} to {found.after:.3f} "
            f"({found.difference_text()}, {found.p_in_words()}, n = {found.n:,}): {verdict}."
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, tuples and numbers."""
        return {**asdict(self), "conclusion": self.conclusion()}

    def to_markdown(self) -> str:
        """The conclusion, the table and the notes, as GitHub Markdown."""
        table = self.table.to_markdown(f"Forgetting on {self.dataset}")
        return "\n".join([f"**{self.conclusion()}**", "", table, *(f"{note}\n" for note in self.notes)])


def measure_forgetting(
    before: SentenceTransformer,
    after: SentenceTransformer,
    dataset: Dataset,
    trained_on: Corpus,
    *,
    measures: Sequence[str] = DEFAULT_MEASURES,
    seed: int = 0,
    resamples: int = 10_000,
) -> Forgetting:
    """Search a second dataset with both retrievers, and compare them on its test queries.

    Args:
        dataset: the second dataset; its training queries are not used.
        trained_on: the corpus of the training, to check that the second dataset is another one.
        measures: names as in `per_query`, the main one first.

    Raises:
        DataError: the dataset has no judged test queries, or its corpus is the one that the retriever was trained on.
        RankstillError: a measure is unknown.
    """
    if not dataset.test:
        raise DataError(f"{dataset.name}: it has no judged test queries, so forgetting cannot be measured on it.")
    notes = _overlap(dataset, trained_on)
    queries = {query_id: dataset.queries[query_id].text for query_id in dataset.test}
    runs = {name: encoded_run(model, dataset.corpus, queries) for name, model in ((BEFORE, before), (DISTILLED, after))}
    table = evaluate_runs(runs, dataset.test_qrels(), BEFORE, measures, seed, resamples)
    return Forgetting(dataset.name, table, notes)


def forgetting_of_workspace(components: Components, dataset: Dataset) -> Forgetting:
    """The forgetting of a finished chain's retriever, measured as its config says.

    Args:
        components: the components of a workspace whose chain has come as far as the step `retriever`.
        dataset: the second dataset.

    Raises:
        WorkspaceError: it has not.
        RankstillError: as `measure_forgetting`.
    """
    workspace, evaluation, trained_on = components.workspace, components.config.evaluation, components.dataset.corpus
    if not workspace.record("retriever"):
        raise WorkspaceError(f"{workspace.folder}: there is no retriever in it yet. Run `rankstill run` on it first.")
    return measure_forgetting(
        components.model_before,
        components.model_after,
        dataset,
        trained_on,
        measures=evaluation.measures,
        seed=components.config.seed,
        resamples=evaluation.resamples,
    )


def _overlap(dataset: Dataset, trained_on: Corpus) -> tuple[str, ...]:
    """A note if some of the second corpus was in the first, as a tuple of one or none; an error if all of it was."""
    first, second = frozenset(trained_on.texts()), dataset.corpus.texts()
    known = sum(text in first for text in second)
    if known == len(second):
        raise DataError(
            f"{dataset.name}: the retriever was trained on this very corpus. Measure forgetting on a corpus that it "
            "never saw."
        )
    if not known:
        return ()
    return (
        f"{known:,} of the {len(second):,} passages of {dataset.name} are in the corpus that the retriever was "
        "trained on too, so training did use it.",
    )
