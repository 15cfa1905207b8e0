from __future__ import annotations

from pathlib import Path

import pytest

from rankstill.data import Dataset, Query
from rankstill.errors import DataError, WorkspaceError
from rankstill.evaluation.runs import write_run
from rankstill.judge.pool import draw_queries, pool, runs_of

QUERY = Query("q", "how does magma of the volcano change")


def run(*passages: str) -> dict[str, dict[str, float]]:
    return {"q": {each: -float(rank) for rank, each in enumerate(passages)}}


A = run("volcano-0", "volcano-1", "bridge-0")
B = run("volcano-1", "garden-2", "desert-3")


def test_the_pool_is_the_union_of_what_each_system_ranks_among_its_best(toy_dataset: Dataset) -> None:
    [listed] = pool([QUERY], [A, B], toy_dataset, 2, 0, {})
    assert set(listed.ids) == {"volcano-0", "volcano-1", "garden-2"}
    texts = {each: toy_dataset.corpus.text(toy_dataset.corpus.position(each)) for each in listed.ids}
    assert listed.passages == tuple(texts[each] for each in listed.ids)


def test_what_is_judged_is_not_pooled_again(toy_dataset: Dataset) -> None:
    [listed] = pool([QUERY], [A, B], toy_dataset, 2, 0, {"q": {"volcano-1": 0}})
    assert set(listed.ids) == {"volcano-0", "garden-2"}
    assert pool([QUERY], [A], toy_dataset, 1, 0, {"q": {"volcano-0": 3}}) == []


def test_the_order_tells_nothing_of_the_systems_and_is_the_same_whoever_comes_first(toy_dataset: Dataset) -> None:
    ids = toy_dataset.corpus.ids
    long = run(*ids[:30])
    [forth], [back] = (pool([QUERY], systems, toy_dataset, 30, 0, {}) for systems in ([long, A], [A, long]))
    assert forth == back
    assert list(forth.ids) not in (sorted(forth.ids), list(ids[:30]))
    [other_seed] = pool([QUERY], [long], toy_dataset, 30, 1, {})
    assert other_seed.ids != forth.ids
    # A passage more leaves the others in their order.
    [more] = pool([QUERY], [run(*ids[:31])], toy_dataset, 31, 0, {})
    assert tuple(each for each in more.ids if each != ids[30]) == forth.ids


def test_a_larger_draw_begins_with_the_smaller_one() -> None:
    queries = [Query(str(number), "") for number in range(50)]
    assert draw_queries(queries, 20, seed=3)[:7] == draw_queries(queries, 7, seed=3)
    assert draw_queries(queries, 20, seed=3) != draw_queries(queries, 20, seed=4)


def test_a_passage_of_another_corpus_is_refused(toy_dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r'"elsewhere".*is not in the corpus of toy'):
        pool([QUERY], [run("elsewhere")], toy_dataset, 2, 0, {})


def test_another_workspace_adds_its_runs_if_it_searched_for_the_same_queries(tmp_path: Path) -> None:
    write_run(B, tmp_path / "w" / "runs" / "distilled-retriever.trec", "x")
    assert runs_of([tmp_path / "w"], [QUERY]) == {f"{tmp_path / 'w'}: distilled retriever": B}
    with pytest.raises(WorkspaceError, match="has not searched for the queries"):
        runs_of([tmp_path / "w"], [Query("other", "")])
