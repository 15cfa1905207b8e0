"""Forgetting: what a retriever lost elsewhere is seen, and what it kept is not called a loss."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from rankstill.data import Corpus
from rankstill.errors import DataError
from rankstill.evaluation.forgetting import measure_forgetting
from rankstill.evaluation.systems import BEFORE, DISTILLED, dense_run, encoded_run
from rankstill.models import load_bi_encoder

ELSEWHERE = Corpus(["p"], [""], ["a passage of the corpus that training saw"])


def word_model(folder, sameness):
    """The tiny model turned into one that adds up word vectors: it matches words, the less the more alike these are."""
    model = load_bi_encoder(str(folder), "cpu")
    bert = model[0].auto_model
    words = bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        bert.embeddings.position_embeddings.weight.zero_()
        for layer in bert.encoder.layer:  # each layer hands on what it is given
            for last in (layer.attention.output.dense, layer.output.dense):
                last.weight.zero_()
                last.bias.zero_()
        words.copy_((1 - sameness) * words + sameness * words[:1])
    return model


@pytest.mark.usefixtures("full_precision")
def test_a_run_without_a_first_stage_is_the_dense_run(tiny_model, toy_dataset, toy_first_stage):
    queries = {query_id: toy_dataset.queries[query_id].text for query_id in toy_dataset.test}
    mine, theirs = encoded_run(tiny_model, toy_dataset.corpus, queries), dense_run(toy_first_stage, queries)
    assert list(mine) == list(theirs)
    for query_id, scores in mine.items():
        assert scores == pytest.approx(theirs[query_id], abs=1e-5)
        assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_the_same_retriever_forgot_nothing(tiny_model, toy_dataset):
    found = measure_forgetting(tiny_model, tiny_model, toy_dataset, ELSEWHERE, resamples=200)
    assert found.table.n == len(toy_dataset.test)
    assert found.table.system(DISTILLED).comparisons["nDCG@10"].difference == 0
    assert "no significant change with this many queries" in found.conclusion()
    assert found.notes == ()


def test_a_retriever_that_got_worse_is_seen_to_have_forgotten(tiny_model_folder, toy_dataset):
    good, forgetful = (word_model(tiny_model_folder, sameness) for sameness in (0.0, 1.0))
    # The forgetful one has every passage tied: eight test queries are too few to tell that from luck.
    asked = replace(toy_dataset, train=(), test=(*toy_dataset.train, *toy_dataset.test))
    found = measure_forgetting(good, forgetful, asked, ELSEWHERE, resamples=200)
    before, after = (found.table.system(name).values["nDCG@10"] for name in (BEFORE, DISTILLED))
    assert after < before - 0.2
    assert "something was forgotten" in found.conclusion()
    better = measure_forgetting(forgetful, good, asked, ELSEWHERE, resamples=200)
    assert "nothing was forgotten, it got better" in better.conclusion()


def test_the_report_holds_the_sentence_the_table_and_plain_json(tiny_model, toy_dataset):
    found = measure_forgetting(tiny_model, tiny_model, toy_dataset, ELSEWHERE, measures=["MRR@10"], resamples=200)
    text = found.to_markdown()
    assert text.startswith(f"**On {toy_dataset.name} MRR@10 went from")
    assert f"**Forgetting on {toy_dataset.name}, n = 8 queries, against {BEFORE}**" in text
    assert json.loads(json.dumps(found.to_json()))["conclusion"] == found.conclusion()


def test_the_corpus_that_was_trained_on_shows_no_forgetting_and_is_refused(tiny_model, toy_dataset):
    with pytest.raises(DataError, match="trained on this very corpus"):
        measure_forgetting(tiny_model, tiny_model, toy_dataset, toy_dataset.corpus)


def test_passages_that_training_saw_are_counted_in_a_note(tiny_model, toy_dataset):
    corpus = toy_dataset.corpus
    part = Corpus(corpus.ids[:7], corpus.titles[:7], corpus.bodies[:7])
    found = measure_forgetting(tiny_model, tiny_model, toy_dataset, part, resamples=200)
    assert found.notes[0].startswith(f"7 of the 60 passages of {toy_dataset.name}")


def test_a_dataset_without_judged_test_queries_is_refused(tiny_model, toy_dataset):
    with pytest.raises(DataError, match="no judged test queries"):
        measure_forgetting(tiny_model, tiny_model, replace(toy_dataset, test=()), ELSEWHERE)
