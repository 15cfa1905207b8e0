"""Check a teacher on a few queries before all are paid for: does it rank better than the first stage, at what price?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rankstill.data import Dataset
from rankstill.evaluation import Comparison, compare, interval, per_query
from rankstill.evaluation.runs import descending
from rankstill.progress import say
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.check_questions import Questions, judged_questions, planted_questions
from rankstill.teacher.live import NothingDecidedError
from rankstill.teacher.prices import Quote, quote
from rankstill.teacher.teach import Health, Teacher

if TYPE_CHECKING:
    from rankstill.config import Config
    from rankstill.retrieval import FirstStage
    from rankstill.teacher.calls import Answer, Call
    from rankstill.teacher.rankings import Ranking

Verdict = Literal["can help", "cannot help", "not sure"]

_MEASURE = "nDCG@10"
_SIGNIFICANT = 0.05
_MOVED = "its answers decide nothing: with the passages shown in another order, it ranks otherwise"
_BLIND = 0.95
"""Position bias, either way, beyond which the order shown is all that a teacher says."""
_FEWEST = 6
"""Queries for a verdict: with fewer, all won, a sign-flip test cannot come below 5 % (2 / 2^5 = 6 %)."""


@dataclass(frozen=True)
class TeacherCheck:
    """What the check of a teacher found.

    Args:
        comparison: nDCG@10 of the teacher (`after`) and of the first stage (`before`) on the same candidates, over the
            lists that it ranked; None if it ranked none.
        shuffles: in which each list was asked.
        one: taken by a list asked to the end, on average, whoever paid for it and when.
        all: expected to be taken by all training queries, with as many shuffles as the config says.
        training_queries: how many those are.
    """

    verdict: Verdict
    why: str
    comparison: Comparison | None
    note: str
    health: Health
    shuffles: int
    one: Quote
    all: Quote
    training_queries: int

    def lines(self) -> list[str]:
        """The summary for the terminal: a line a finding, the verdict first."""
        lines = [f"{self.verdict}: {self.why}", self.note]
        found = self.comparison
        if found is not None:
            lines.append(
                f"{_MEASURE} on the same candidates: teacher {found.after:.3f}, first stage {found.before:.3f}, "
                f"difference {found.difference:+.3f} (95 % interval {found.low:+.3f} to {found.high:+.3f}, "
                f"p = {found.p_value:.3f}; of {found.n:,} queries {found.wins:,} better, {found.losses:,} worse)"
            )
        answers = sum(self.health.statuses.values())
        if answers:
            shares = (f"{100 * count / answers:.0f} % {name}" for name, count in sorted(self.health.statuses.items()))
            lines.append(f"answers: {', '.join(shares)}")
        lines += self.health.lines()
        lines.append(f"one query in {self.shuffles:,} shuffles: {self.one}")
        lines.append(f"all {self.training_queries:,} training queries as configured: {self.all}")
        return lines


def check_teacher(config: Config, dataset: Dataset, first_stage: FirstStage, count: int, paid_by: str) -> TeacherCheck:
    """Ask a teacher about a sample of queries, and judge it by what is known of them.

    Training queries whose candidates hold a passage that is judged relevant are asked; where there are no judgements,
    sentences of the corpus, for which the passage that they stand in is taken for the relevant one. Each list is shown
    in two orders at least. Answers stay in the ledger, and a later run pays for none of its calls that were made here.

    The verdict is "can help" if the teacher's nDCG@10 is higher than the first stage's, both by the 95 % bootstrap
    interval and by the sign-flip test, "cannot help" if the interval ends at 0 or below, else "not sure"; see
    `_planted_verdict` for sentences.

    Args:
        config: the experiment; its teacher must be one that can be asked.
        paid_by: on whose account calls are noted, and whose budget they count towards.

    Raises:
        RankstillError: the teacher cannot be asked or its budget is reached; what is done is kept.
        DataError: there is nothing to ask.
    """
    # A sample: a list whose call is given up is named, and the others are judged.
    changes = {"shuffles": max(2, config.teacher.shuffles), "accept_missing": True}
    shuffled = config.teacher.model_copy(update=changes)
    with Teacher(shuffled, paid_by, config.seed) as teacher:  # first: a mistake in the config costs no search
        questions = judged_questions(config, dataset, first_stage, count) or planted_questions(
            config, first_stage, count
        )
        say(f"to be asked: {teacher.quote(questions.lists)}")
        try:
            rankings, health = teacher.rank(questions.lists)
        except NothingDecidedError:  # a finding like any other
            rankings, health = teacher.ranked(questions.lists)
        asked, taken = _taken(teacher, questions.lists)
    comparison, verdict, why = _judge(config, questions, rankings, health, asked)
    training = min(len(dataset.train), config.teacher.queries or len(dataset.train))
    return TeacherCheck(
        verdict=verdict,
        why=why,
        comparison=comparison,
        note=questions.note,
        health=health,
        shuffles=shuffled.shuffles,
        one=_share(taken, 1, asked),
        all=_share(taken, training * config.teacher.shuffles, asked * shuffled.shuffles),
        training_queries=training,
    )


def _taken(teacher: Teacher, lists: Sequence[CandidateList]) -> tuple[int, Quote]:
    """How many lists were asked to the end, and what that took, answers from earlier runs included."""
    counted: dict[str, Answer] = {}

    def lookup(call: Call) -> Answer | None:
        answer = teacher.ledger.get(call)
        if answer is not None:
            counted[call.key] = answer
        return answer

    waiting = {listed.query_id for listed, _ in teacher.pending(lists)}
    asked = [listed for listed in lists if listed.query_id not in waiting]
    for listed in asked:
        teacher.asker.advance(listed, lookup)
    return len(asked), quote(((each.tokens_in, each.tokens_out) for each in counted.values()), teacher.price)


def _share(taken: Quote, part: int, whole: int) -> Quote:
    ratio = part / whole if whole else 0.0
    calls, tokens_in, tokens_out = (round(each * ratio) for each in (taken.calls, taken.tokens_in, taken.tokens_out))
    return Quote(calls, tokens_in, tokens_out, None if taken.cost is None else taken.cost * ratio)


def _judge(
    config: Config, questions: Questions, rankings: Sequence[Ranking], health: Health, asked: int
) -> tuple[Comparison | None, Verdict, str]:
    if not rankings:
        return None, *_verdict_without_rankings(health, asked)
    first_stage = {each.query_id: descending(each.candidates) for each in rankings}
    teacher = {each.query_id: descending((*each.ranking, *each.unranked)) for each in rankings}
    qrels = {query_id: questions.qrels[query_id] for query_id in first_stage}
    before, after = (list(per_query(run, qrels, [_MEASURE])[_MEASURE].values()) for run in (first_stage, teacher))
    resamples = config.evaluation.resamples
    found = compare(before, after, config.seed, resamples)
    if found.n < _FEWEST:
        return found, "not sure", f"it ranked {found.n:,} of {len(questions.lists):,} lists, too few to tell"
    if health.bias is not None and abs(health.bias.slope) >= _BLIND:
        return found, "cannot help", f"{_MOVED}{_bias(health)}"
    if found.low > 0 and found.p_value < _SIGNIFICANT:
        easier = " even where that sees the query's own words in the passage" if questions.planted else ""
        return found, "can help", f"it ranks better than the first stage{easier}"
    if questions.planted:
        least, _ = interval(after, config.seed, resamples)
        blind = sum(_by_chance(len(each.candidates)) for each in rankings) / len(rankings)
        return found, *_planted_verdict(found, least, blind)
    if found.high <= 0:
        return found, "cannot help", "it ranks no better than the first stage"
    return (
        found,
        "not sure",
        "the difference may be chance: judge more training queries, or ask about more of them (--queries)",
    )


def _planted_verdict(found: Comparison, least: float, by_chance: float) -> tuple[Verdict, str]:
    """The verdict on a teacher that was not better than the first stage at finding a sentence's own passage.

    The first stage sees the sentence's own words in the passage and is hard to beat, so being worse than it says
    nothing against a teacher, unless it is not even better than chance.

    Args:
        least: lower end of the interval of the teacher's nDCG@10.
    """
    if found.high < 0 and least <= by_chance:
        return (
            "cannot help",
            f"it finds a sentence's own passage no better than chance, which alone gives {_MEASURE} {by_chance:.3f}",
        )
    if least <= by_chance:
        return "not sure", "the difference may be chance: ask about more queries"
    return "not sure", (
        f"it finds a sentence's own passage better than chance (which alone gives {_MEASURE} {by_chance:.3f}), but not "
        "better than the first stage does. Judge a few dozen training queries and check again"
    )


def _verdict_without_rankings(health: Health, asked: int) -> tuple[Verdict, str]:
    if asked < _FEWEST:
        return "not sure", f"it ranked no list, but only {asked:,} were asked to the end"
    if not health.statuses.keys() & {"exact", "repaired"}:
        if health.cut:
            return "not sure", "its answers are cut off before they say anything: raise teacher.answer_tokens"
        return "cannot help", "none of its answers could be read as a ranking"
    return "cannot help", f"{_MOVED}{_bias(health)}"


def _bias(health: Health) -> str:
    return f" (position bias {health.bias.slope:.2f})" if health.bias is not None else ""


def _by_chance(candidates: int) -> float:
    """Expected nDCG@10 of a random order with one relevant passage: the mean discount over all ranks."""
    return sum(1 / math.log2(rank + 1) for rank in range(1, min(candidates, 10) + 1)) / candidates
