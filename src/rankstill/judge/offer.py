"""What a run without judgements ends with: the command that has an LLM judge it, and its price."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rankstill.errors import RankstillError
from rankstill.evaluation.chain_runs import searched_queries
from rankstill.evaluation.systems import read_runs
from rankstill.judge.grading import Judge
from rankstill.judge.pool import draw_queries, pool

if TYPE_CHECKING:
    from rankstill.components import Components


def offer(components: Components) -> str:
    """The command, its price, and what it would tell; empty where there is nothing to judge, or it is judged.

    The price is that of `rankstill judge --dry-run`. Where no LLM is configured, the command shows how to name one.

    Args:
        components: the components of a chain that has come as far as the step `runs`.
    """
    dataset, config = components.test_set, components.config
    if dataset.test or not dataset.unjudged:
        return ""
    queries = draw_queries(searched_queries(dataset), config.judge.queries, config.seed)
    command = f"rankstill judge {shlex.quote(str(components.workspace.folder))}"
    tells = (
        "It grades the best passages of every system, and says whether the new retriever is better, with an interval "
        "and a paired test."
    )
    what = f"Have an LLM judge what was found for {len(queries):,} queries that taught nothing"
    try:
        with Judge(config, components.account) as llm:
            runs = read_runs(components.workspace.path("runs"))
            expected = llm.quote(pool(queries, list(runs.values()), dataset, config.judge.k, config.seed, {}))
            price = "free" if llm.config.kind == "local" else str(expected)
            by = llm.asker.model
    except RankstillError:  # no LLM is named, or it cannot be reached from here: the chain is finished all the same
        return f"{what}: `{command} --set judge.model=NAME --dry-run` shows the price. {tells}"
    favours = (
        ""
        if config.judge.model
        else " The judge is the teacher, which favours systems that learned from it. Set judge.model to another LLM."
    )
    return f"{what}: `{command}`. By {by}: {price}. {tells}{favours}"
