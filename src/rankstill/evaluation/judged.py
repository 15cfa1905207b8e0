"""An LLM's judgements in a workspace: the graded passages, the days, and the dataset that they measure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rankstill.data.dataset import Dataset, Qrels
from rankstill.errors import DataError
from rankstill.evaluation.runs import Run, rank_order
from rankstill.workspace import digest

FILE, QRELS = "judged.json", "judged.tsv"
"""What is read back, and the same grades as BEIR's qrels, for other tools."""
MANY_HOLES = 0.05
"""Share of unjudged passages beyond which nDCG, to which they are irrelevant, is measured without them as well."""


@dataclass(frozen=True)
class Judgements:
    """What an LLM judged in one workspace.

    Args:
        dates: days on which it graded, in order, ISO 8601.
        k: of each system's passages, how many were judged.
        teacher_too: whether the LLM was the teacher as well.
        corpus: fingerprint of the passages.
        grades: query id -> passage id -> grade, 0 to 3.
        failed: query id -> ids of passages whose grade could not be read, or whose prompt was refused.
    """

    model: str
    prompt: str
    dates: tuple[str, ...]
    k: int
    teacher_too: bool
    corpus: str
    queries: Mapping[str, str]
    grades: Qrels
    failed: Mapping[str, tuple[str, ...]]

    @property
    def by(self) -> str:
        """Who judged, and when, in the words that stand beside every figure."""
        days = self.dates[:1] if len(set(self.dates)) < 2 else (self.dates[0], self.dates[-1])
        return f"{self.model}, on {' to '.join(days)}"

    @property
    def fingerprint(self) -> str:
        """A digest of all judgements."""
        return digest(asdict(self))

    def measuring(self) -> Qrels:
        """The grades of the queries that tell systems apart: some passage of theirs has a grade above 0."""
        return {query_id: grades for query_id, grades in self.grades.items() if any(grades.values())}

    def to_json(self) -> str:
        """JSON that `read_judgements` reads."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"


def read_judgements(folder: Path, dataset: Dataset) -> Judgements | None:
    """What an LLM judged in a workspace of this dataset's queries; None if nothing, or of another corpus.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if read["corpus"] != dataset.corpus.fingerprint:
            return None
        known = {each: text for each, text in read["queries"].items() if _is_its(dataset, each, text)}
        grades = {query_id: grades for query_id, grades in read["grades"].items() if query_id in known}
        failed = {query_id: tuple(each) for query_id, each in read["failed"].items() if query_id in known}
        changes = {"dates": tuple(read["dates"]), "queries": known, "grades": grades, "failed": failed}
        return Judgements(**{**read, **changes})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: cannot be read as judgements ({error!r}). Move it away and run `rankstill judge` again: every "
            "answer is in the ledger."
        ) from None


def _is_its(dataset: Dataset, query_id: str, text: str) -> bool:
    return query_id in dataset.queries and dataset.queries[query_id].text == text


def with_judgements(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with its unjudged queries as test queries, where an LLM has judged them in this workspace.

    Human judgements and an LLM's are never mixed: a dataset that has test queries of its own stays as it is.

    Raises:
        DataError: the judgements are damaged.
    """
    judged = read_judgements(folder, dataset) if dataset.unjudged and not dataset.test else None
    if judged is None:
        return dataset
    qrels = judged.measuring()
    test = tuple(query_id for query_id in dataset.unjudged if query_id in qrels)
    if not test:
        return dataset
    return replace(
        dataset, test=test, qrels={**dataset.qrels, **{each: qrels[each] for each in test}}, judged_by=judged.by
    )


def unjudged_shares(runs: Mapping[str, Run], qrels: Qrels, depth: int) -> dict[str, float]:
    """System -> share of its best passages that are not judged, over the judged queries.

    Args:
        depth: passages of each query to look at.
    """
    shares = {}
    for system, run in runs.items():
        best = [(query_id, each) for query_id in qrels for each in rank_order(run.get(query_id, {}))[:depth]]
        shares[system] = sum(each not in qrels[query_id] for query_id, each in best) / max(1, len(best))
    return shares


def judge_caveats(judged: Judgements, unjudged: Mapping[str, float], depth: int) -> Iterator[str]:
    """Caveats of figures that are measured by an LLM's judgements, a line each.

    Args:
        unjudged: as `unjudged_shares` gives them.
    """
    measured = judged.measuring()
    passages = sum(map(len, measured.values()))
    yield (
        f"judged by {judged.by} (prompt {judged.prompt}), and by no person: {passages:,} passages of {len(measured):,} "
        f"queries, the best {judged.k} of each system. nDCG takes grades from 0 to 3; for measures that only know "
        "relevant and not relevant, grades from 2 count as relevant."
    )
    if judged.teacher_too:
        yield (
            f"the judge, {judged.model}, was the teacher as well: it favours systems that learned from it. Set "
            "judge.model to another LLM for a fairer proof."
        )
    if left_out := len(judged.grades) - len(measured):
        yield f"{left_out:,} judged queries do not measure: no passage of theirs got a grade above 0."
    if lost := sum(map(len, judged.failed.values())):
        yield (
            f"{lost:,} passages have no grade, because the judge's answer could not be read or the prompt was refused."
        )
    if any(unjudged.values()):
        shares = ", ".join(f"{system} {share:.1%}" for system, share in unjudged.items() if share)
        more = ""
        if max(unjudged.values()) > MANY_HOLES:
            more = "; nDCG(judged_only=True) measures without them, on condensed lists (Sakai 2007)"
        yield (
            f"unjudged passages among the best {depth}, which count as irrelevant: {shares}{more}. `rankstill judge` "
            "has them judged."
        )
