"""The LLM's lists in a workspace: which of them teach, which choose, and which only measure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.config import Config
from rankstill.datasets import Dataset
from rankstill.errors import WorkspaceError
from rankstill.workspace import Workspace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.candidates import FirstStage
    from rankstill.ranker import RankedList
    from rankstill.retriever import Blend, JudgingList
    from rankstill.teacher import Ranking

ENOUGH_TO_FIT = 20
"""Lists, for a number or three that are fitted to them: a temperature, the weights of a sum."""


@dataclass(frozen=True)
class Lists:
    """The LLM's rankings of one experiment.

    Args:
        config: the experiment.
        workspace: where its steps are kept.
        dataset: what it works on.
    """

    config: Config
    workspace: Workspace
    dataset: Dataset

    @property
    def that_teach(self) -> list[Ranking]:
        """The teacher's that may teach: all but those held out. Nothing that learns reads any others."""
        held = self.held_out_queries
        return [each for each in self._every() if each.query_id not in held]

    @property
    def held_out(self) -> list[Ranking]:
        """The teacher's that teach nothing: what every link is measured on."""
        held = self.held_out_queries
        return [each for each in self._every() if each.query_id in held]

    @property
    def held_out_queries(self) -> Collection[str]:
        """Ids of the queries of `held_out`; none in a chain that reads no ranking.

        Raises:
            WorkspaceError: the step `held_out` is not made, so that nobody knows what may teach.
        """
        from rankstill.baselines import unneeded_steps
        from rankstill.evaluation.holding_out import FILE, HeldOutLists

        if "held_out" in unneeded_steps(self.config, self.dataset):
            return frozenset()
        if self.workspace.record("held_out") is None:
            raise WorkspaceError(f"{self.workspace.folder}: which lists are held out is not drawn yet. Run the chain.")
        return frozenset(HeldOutLists.load(self.workspace.path(FILE)).queries)

    @property
    def teaching_set(self) -> Dataset:
        """The dataset, without the queries whose lists are held out among those that may teach."""
        held = self.held_out_queries
        return replace(self.dataset, train=tuple(each for each in self.dataset.train if each not in held))

    def hold_out(self, folder: Path, model: Callable[[], SentenceTransformer]) -> list[str]:
        """Draw the lists that teach nothing.

        Args:
            folder: for the draw.
            model: gives the retriever as it was, by which queries are alike.

        Returns:
            What a reader of the figures must know.
        """
        from rankstill.candidates import encode
        from rankstill.evaluation.holding_out import FILE, hold_out_lists

        rankings = self._every()
        texts = self.dataset.texts_of(each.query_id for each in rankings)
        found = hold_out_lists(
            rankings,
            lambda: encode(model(), texts, "query", "encoding queries", 128),
            self.config.evaluation.holdout,
            self.config.seed,
        )
        found.save(folder / FILE)
        return [found.describe()]

    def with_scores(self, first_stage: FirstStage, rankings: Sequence[Ranking] | None = None) -> list[RankedList]:
        """Rankings with what a first stage knows of their passages; None: all that may teach."""
        from rankstill.ranker import RankedList

        rankings = self.that_teach if rankings is None else rankings
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
    def that_choose(self) -> list[Ranking]:
        """Those that do not teach the encoder but choose how much of its training is kept.

        They have taught by that, and are others than those held out to measure on (`held_out`). Where
        `ranker.holdout` is the same share, the cross-encoder is not trained on them either.
        """
        from rankstill.baselines import unneeded_steps
        from rankstill.training import hold_out

        unread = "rankings" in unneeded_steps(self.config, self.dataset)
        if self.config.retriever.blend is not None or unread:
            return []
        rankings = self.that_teach
        held, _ = hold_out(len(rankings), self.config.retriever.holdout, self.config.seed)
        return [rankings[row] for row in held]

    def to_weigh_by(self, blend: Blend | None) -> list[Ranking]:
        """Those that say how much a distilled retriever counts beside other scores.

        Lists that taught it would say too much. All are taken where nothing of its training was kept, or where too few
        did not teach it.

        Args:
            blend: how much of its training was kept.
        """
        judging = self.that_choose
        taught = blend is None or blend.share > 0
        return judging if taught and len(judging) >= ENOUGH_TO_FIT else self.that_teach

    def judges(self) -> list[JudgingList]:
        """The texts of `that_choose`."""
        from rankstill.retriever import JudgingList

        rankings, texts = self.that_choose, self.dataset.corpus.texts
        return [
            JudgingList(self.dataset.queries[one.query_id].text, list(texts(here)), len(one.ranking))
            for one, here in zip(rankings, self.positions_of(rankings), strict=True)
        ]

    def positions_of(self, rankings: Sequence[Ranking]) -> list[NDArray[np.int64]]:
        """Positions of each ranking's passages in the corpus, best first, then those that were not ranked."""
        position = self.dataset.corpus.position
        return [np.array([position(each) for each in (*one.ranking, *one.unranked)]) for one in rankings]

    def _every(self) -> list[Ranking]:
        from rankstill.teacher import read_rankings

        rankings, _ = read_rankings(self.workspace.path("rankings.jsonl"), self.dataset)
        return rankings
