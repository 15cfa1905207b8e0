"""The LLM's lists in a workspace: training, validation (a part of training), and held out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.config import Config
from rankstill.data import Dataset
from rankstill.data.same_text import folded
from rankstill.errors import WorkspaceError
from rankstill.evaluation.holding_out import HELD_OUT_FILE, HeldOutLists, hold_out_lists, repeats_any
from rankstill.labels.choice import unneeded_steps
from rankstill.ranker import RankedList
from rankstill.retrieval import encode
from rankstill.teacher import read_rankings
from rankstill.training import ENOUGH_TO_FIT, hold_out
from rankstill.workspace import Workspace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.retrieval import FirstStage
    from rankstill.retriever import Blend, ValidationList
    from rankstill.teacher import Ranking


@dataclass(frozen=True)
class TeacherLists:
    """The LLM's rankings of one experiment."""

    config: Config
    workspace: Workspace
    dataset: Dataset

    @property
    def training(self) -> list[Ranking]:
        """The rankings that may teach: all but those held out. `validation` is a part of them.

        The ranker learns from all of them, the retriever from those outside `validation`.
        """
        held = self.held_out_queries
        return [each for each in self._every() if each.query_id not in held]

    @property
    def held_out(self) -> list[Ranking]:
        """The rankings that nothing learns from: every system is measured on them."""
        held = self.held_out_queries
        return [each for each in self._every() if each.query_id in held]

    @property
    def held_out_queries(self) -> Collection[str]:
        """Ids of the queries of `held_out`; none in a chain that reads no ranking.

        Raises:
            WorkspaceError: the step `held_out` is not made, so that nobody knows what may teach.
        """
        if "held_out" in unneeded_steps(self.config, self.dataset):
            return frozenset()
        if self.workspace.record("held_out") is None:
            raise WorkspaceError(f"{self.workspace.folder}: which lists are held out is not drawn yet. Run the chain.")
        return frozenset(HeldOutLists.load(self.workspace.path(HELD_OUT_FILE)).queries)

    @property
    def teaching_set(self) -> Dataset:
        """The dataset, whose training queries are those without held-out lists."""
        held = self.held_out_queries
        return replace(self.dataset, train=tuple(each for each in self.dataset.train if each not in held))

    def unranked(self, found: Mapping[str, NDArray[np.int64]]) -> list[str]:
        """Queries that the LLM did not rank, for the ranker to label: training queries, and all extra ones.

        Of the training queries a random sample. None of them says the same as a query whose list is held out, or finds
        mostly the same passages.

        Args:
            found: positions of each query's candidates, best first, by query id.
        """
        ranked, queries, ids = {each.query_id for each in self._every()}, self.dataset.queries, self.dataset.corpus.ids
        others = [query_id for query_id in self.dataset.train if query_id not in ranked]
        # "llm" stands for the LLM's lists alone. Extra queries were asked for by name.
        most = 0 if self.config.labels.ranked_by == "llm" else self.config.labels.unranked
        drawn = np.random.default_rng(self.config.seed).permutation(len(others))[:most]
        held_out = [set(each.candidates) for each in self.held_out]
        asked = {folded(queries[query_id].text) for query_id in self.held_out_queries}
        kept = []
        for query_id in (*(others[row] for row in drawn), *self.dataset.extra):
            shown = [ids[position] for position in found[query_id][: self.config.candidates.k]]
            if folded(queries[query_id].text) not in asked and not repeats_any(shown, held_out):
                kept.append(query_id)
        return kept

    def hold_out(self, folder: Path, model: Callable[[], SentenceTransformer]) -> list[str]:
        """Sample the held-out lists.

        Args:
            model: Returns the retriever before training, which tells which queries are similar.
        """
        rankings = self._every()
        texts = self.dataset.texts_of(each.query_id for each in rankings)
        found = hold_out_lists(
            rankings,
            lambda: encode(model(), texts, "query", "encoding queries", 128),
            self.config.evaluation.holdout,
            self.config.seed,
        )
        found.save(folder / HELD_OUT_FILE)
        return [found.describe()]

    def with_scores(self, first_stage: FirstStage, rankings: Sequence[Ranking] | None = None) -> list[RankedList]:
        """Rankings with what a first stage knows of their passages; None: all that may teach."""
        rankings = self.training if rankings is None else rankings
        corpus = self.dataset.corpus
        queries = self.dataset.texts_of(ranking.query_id for ranking in rankings)
        positions = self.positions_of(rankings)
        return [
            RankedList(query, tuple(corpus.texts(here)), features, len(ranking.ranking), weight=ranking.weight)
            for query, here, features, ranking in zip(
                queries, positions, first_stage.features(queries, positions), rankings, strict=True
            )
        ]

    @property
    def validation(self) -> list[Ranking]:
        """The rankings that do not train the retriever but choose how much of its training is kept.

        Choosing is a way of learning, so these are not the lists that measure (`held_out`). Where `ranker.holdout` is
        the same share, the cross-encoder is not trained on them either.
        """
        unread = "rankings" in unneeded_steps(self.config, self.dataset)
        if self.config.retriever.blend is not None or unread:
            return []
        rankings = self.training
        held, _ = hold_out(len(rankings), self.config.retriever.holdout, self.config.seed)
        return [rankings[row] for row in held]

    def for_hybrid_weights(self, *blends: Blend | None) -> list[Ranking]:
        """The rankings that the weights of a hybrid with distilled retrievers are fitted on.

        On lists that trained a retriever its score looks too good, so `validation` is taken. All training lists are
        taken where nothing of the training was kept, or where `validation` is too small.

        Args:
            blends: how much of each retriever's training was kept; None: all of it.
        """
        judging = self.validation
        taught = any(blend is None or blend.share > 0 for blend in blends)
        return judging if taught and len(judging) >= ENOUGH_TO_FIT else self.training

    def validation_texts(self) -> list[ValidationList]:
        """The rankings of `validation` as texts."""
        from rankstill.retriever import ValidationList  # loads torch

        rankings, texts = self.validation, self.dataset.corpus.texts
        return [
            ValidationList(self.dataset.queries[one.query_id].text, list(texts(here)), len(one.ranking))
            for one, here in zip(rankings, self.positions_of(rankings), strict=True)
        ]

    def positions_of(self, rankings: Sequence[Ranking]) -> list[NDArray[np.int64]]:
        """Positions of each ranking's passages in the corpus, best first, then those that were not ranked."""
        position = self.dataset.corpus.position
        return [np.array([position(each) for each in (*one.ranking, *one.unranked)]) for one in rankings]

    def _every(self) -> list[Ranking]:
        rankings, _ = read_rankings(self.workspace.path("rankings.jsonl"), self.dataset)
        return rankings
