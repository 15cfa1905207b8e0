"""What the command line asks of a judge: its grades, its price, prompts for people, and whether it is any good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.judge.agreement import human_agreement
from rankstill.judge.checking import JudgeCheck, check, human_agreement_lines
from rankstill.judge.grading import Judge
from rankstill.judge.judging import JudgeTask, graded, judge_task, judgement_lines
from rankstill.judge.pool import pool
from rankstill.pipeline import open_chain
from rankstill.teacher.teach import paid

if TYPE_CHECKING:
    from rankstill.config import Config
    from rankstill.outcome import Outcome


@dataclass(frozen=True)
class JudgeOutcome:
    """The result of a judgement.

    Args:
        outcome: the chain's, measured by the judgements; None where people's measure already.
    """

    lines: tuple[str, ...]
    outcome: Outcome | None


def judge(config: Config, workspace: str | Path, others: Sequence[Path] = ()) -> JudgeOutcome:
    """Have an LLM grade the best passages of every system, and measure the chain by its grades.

    The chain runs to its end first, where it has not. Passages that were judged here before, by the same LLM and
    template, are not asked again. The grades lie in `judged.json` and, as qrels, in `judged.tsv`. Where people judged
    the queries, figures stay as they are by people's judgements, and the judge is compared with them.

    Args:
        others: further workspaces, whose passages are judged with those of this one.

    Raises:
        RankstillError: the chain cannot run, or the judge not be asked; its limit is reached: what is done is kept.
    """
    with at_work(config, workspace, others, must_ask=True) as work:
        judged = graded(work)
        lines = [*judgement_lines(judged), paid(work.judge.ledger.own())]
        people = human_agreement(judged.grades, work.chain.dataset.qrels, work.runs, config)
        if people is not None:
            lines += human_agreement_lines(people)
        return JudgeOutcome(tuple(lines), None if work.chain.dataset.test else work.chain.run())


def check_judge(config: Config, workspace: str | Path, count: int) -> JudgeCheck:
    """Have the passages of a few queries graded twice: whether the LLM's grades can be measured by.

    The first of the two orders is that of `judge`, which pays for none of these calls again.
    """
    # A sample: queries whose calls are given up are passed over.
    sampled = config.teacher.model_copy(update={"accept_missing": True})
    config = config.model_copy(update={"teacher": sampled})
    with at_work(config, workspace, (), must_ask=True, orders=2) as work:
        dataset, seed, k = work.chain.dataset, config.seed, config.judge.k
        lists = pool(work.queries[:count], list(work.runs.values()), dataset, k, seed, {})
        with Judge(config, work.chain.components.account) as once:
            return check(work.judge, lists, lambda: once.quote(work.lists), dataset.qrels, work.runs, config)


@contextmanager
def at_work(
    config: Config,
    workspace: str | Path,
    others: Sequence[Path],
    *,
    must_ask: bool = False,
    orders: int = 1,
) -> Iterator[JudgeTask]:
    """The judge and what it is to grade; see `judge_task`. One that grades in several orders grades anew."""
    with (
        open_chain(config, workspace) as chain,
        Judge(config, chain.components.account, orders) as llm,
    ):
        yield judge_task(chain, llm, others, must_ask=must_ask, anew=orders > 1)
