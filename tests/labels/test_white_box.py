"""Labels from a language model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rankstill.data import Corpus, Dataset, Query
from rankstill.errors import DataError
from rankstill.labels.local_lm import LocalLM
from rankstill.labels.white_box import label_by_lm, queries_to_read, read_signal

TEXTS = ["The Nile is long.", "Paris is in France.", "Yes", "Of cats & dogs", "Rome"]


@pytest.fixture
def dataset() -> Dataset:
    corpus = Corpus([f"p{number}" for number in range(5)], [""] * 5, TEXTS)
    queries = {
        "q1": Query("q1", "where is paris", ("France", "in France")),
        "q2": Query("q2", "how long is it"),
        "q3": Query("q3", "who barks", ("dogs",)),
    }
    return Dataset("five", corpus, queries, train=("q1", "q2", "q3"))


CANDIDATES = {each: np.array([3, 1, 0, 2, 4]) for each in ("q1", "q2", "q3")}


def test_leave_one_out_leaves_out_each_passage_once(lm: LocalLM) -> None:
    passages = TEXTS[:3]
    by_hand = lm.log_likelihoods("q", "a", [passages[1:], [passages[0], passages[2]], passages[:2]])
    np.testing.assert_allclose(read_signal(lm, "q", "a", passages, "left-out"), by_hand, atol=1e-5)


@pytest.mark.parametrize("method", ["pdist", "loop", "adist", "replug-lsr", "emdr2"])
def test_every_method_labels_the_queries_that_have_answers(
    method: str, lm: LocalLM, dataset: Dataset, tmp_path: Path
) -> None:
    asked = queries_to_read(dataset, None, seed=0)
    rows = label_by_lm(lambda: lm, method, asked, CANDIDATES, dataset, tmp_path, passages=4)
    assert sorted((row.id, row.text, row.source) for row in rows) == [
        ("q1", "where is paris", "teacher"),
        ("q3", "who barks", "teacher"),
    ]
    for row in rows:
        assert sorted(row.positions.tolist()) == [0, 1, 2, 3]
        assert (np.diff(row.scores) <= 0).all()


def test_scores_stay_with_their_passages(lm: LocalLM, dataset: Dataset, tmp_path: Path) -> None:
    found = [TEXTS[position] for position in (3, 1, 0, 2)]
    signals = {"pdist": "alone", "loop": "left-out", "adist": "attention", "replug-lsr": "alone"}
    transforms = {
        "pdist": lambda x: x,
        "loop": lambda x: -x,
        "adist": lambda x: x / 0.1,
        "replug-lsr": lambda x: np.exp(x) / 0.1,
    }
    for method, signal in signals.items():
        row = label_by_lm(lambda: lm, method, ["q1"], CANDIDATES, dataset, tmp_path, passages=4)[0]
        expected = transforms[method](read_signal(lm, "where is paris", "France", found, signal))
        got = dict(zip(row.positions.tolist(), row.scores.tolist(), strict=True))
        assert [got[position] for position in (3, 1, 0, 2)] == pytest.approx(expected.tolist(), rel=1e-4)


def test_what_was_read_is_not_read_again_and_methods_share_it(lm: LocalLM, dataset: Dataset, tmp_path: Path) -> None:
    def gone() -> LocalLM:
        raise AssertionError("loaded again")

    asked = ("q1", "q3")
    label_by_lm(lambda: lm, "pdist", asked, CANDIDATES, dataset, tmp_path, passages=3)
    assert label_by_lm(gone, "emdr2", asked, CANDIDATES, dataset, tmp_path, passages=3)
    with pytest.raises(AssertionError, match="loaded again"):
        label_by_lm(gone, "loop", asked, CANDIDATES, dataset, tmp_path, passages=3)


def test_more_queries_later_come_after_those_that_were_read(dataset: Dataset) -> None:
    many = replace(
        dataset,
        queries={f"q{number}": Query(f"q{number}", "?", ("yes",)) for number in range(20)},
        train=tuple(f"q{number}" for number in range(20)),
    )
    everything = queries_to_read(many, None, seed=3)
    assert queries_to_read(many, 7, seed=3) == everything[:7]
    assert sorted(everything) == sorted(many.train)
    assert everything != list(many.train)


def test_without_any_answer_there_is_nothing_to_read(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="no training query has accepted answers"):
        queries_to_read(replace(dataset, train=("q2",)), None, seed=0)
