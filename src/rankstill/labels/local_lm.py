"""A local causal language model, read from within: an answer's log-likelihood, and what the answer attends to."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.precision import autocast
from rankstill.compute.training_mode import plain_attention
from rankstill.errors import ModelError
from rankstill.models import check_device, model_identity, resolve_model
from rankstill.teacher.client.local import find_gguf, identity

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 8
"""Prompts a forward pass."""
_OPENING = "Answer the question.\n\n"
"""Before the passages. A decoder's first token gets most of the attention whatever it is (Xiao et al. 2024, "attention
sinks"); without an opening it would be the first passage's."""


@dataclass(frozen=True)
class LocalLM:
    """A causal language model that answers questions from passages, without a chat format.

    The prompt is plain text, so that any such model will do: "Answer the question.", the passages with an empty line
    after each, "Question: ...", "Answer:". Texts are cut into tokens one by one, and tokens that look special
    (`<|im_end|>`) read as the characters that they are, so a passage cannot end its own part of the prompt.

    Args:
        name: for messages.
        model: a transformers model.
        tokenizer: the model's tokenizer.
        passage_tokens: a passage is cut after so many.
    """

    name: str
    model: Any
    tokenizer: Any
    passage_tokens: int = 256

    def log_likelihoods(self, question: str, answer: str, contexts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """log p(answer | question, passages) for each list of passages, summed over the answer's tokens, in nats.

        Args:
            contexts: lists of passages to answer from; an empty list is closed book. [contexts]

        Raises:
            ModelError: the prompt does not fit the model's context.
        """
        wanted = self._answer(answer)
        prompts = [self._prompt(question, passages)[0] for passages in contexts]
        self._check_length(max((len(prompt) for prompt in prompts), default=0) + len(wanted))
        likelihoods = np.empty(len(prompts))
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))  # so that little is padding
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            likelihoods[rows] = self._log_likelihoods([prompts[row] for row in rows], wanted)
        return likelihoods

    def _log_likelihoods(self, prompts: Sequence[list[int]], wanted: list[int]) -> NDArray[np.float64]:
        import torch

        # Padded on the left, so that all answers end a row and only their logits need be computed.
        width = max(map(len, prompts))
        tokens = torch.tensor([[0] * (width - len(prompt)) + prompt + wanted for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * (len(p) + len(wanted)) for p in prompts])
        device = self.model.device
        with torch.inference_mode(), autocast(str(device)):
            logits = self.model(
                input_ids=tokens.to(device),
                attention_mask=mask.to(device),
                position_ids=(mask.cumsum(dim=1) - 1).clamp_min(0).to(device),
                logits_to_keep=len(wanted) + 1,
                use_cache=False,
            ).logits[:, :-1]
        chosen = torch.tensor(wanted, device=device).expand(len(prompts), -1)[..., None]
        likelihoods: NDArray[np.float64] = (
            torch.log_softmax(logits.float(), dim=2).gather(2, chosen).double().sum(dim=(1, 2)).cpu().numpy()
        )
        return likelihoods

    def attention(self, question: str, answer: str, passages: Sequence[str]) -> NDArray[np.float64]:
        """How much the answer attends to each of the passages, all in one prompt.

        Attention times the norm of the value attended to, averaged over layers, heads and the positions that predict
        the answer's tokens, summed over a passage's tokens (Izacard et al. 2022, section 2.2, ADist; there it is the
        cross-attention of an encoder-decoder that reads each passage apart). In a decoder alone the passages stand in
        a row and the later ones have read the earlier, so where a passage stands counts, too.

        Args:
            question: what is asked.
            answer: an accepted short answer.
            passages: what to answer from. [passages]

        Raises:
            ModelError: the prompt does not fit the model's context, or the model keeps no plain keys and values.
        """
        import torch

        wanted = self._answer(answer)
        prompt, spans = self._prompt(question, passages)
        self._check_length(len(prompt) + len(wanted))
        device = self.model.device
        # The prompt's last token predicts the answer's first. Only the answer's rows of attention are wanted, so the
        # prompt before it runs without giving any: all rows would be gigabytes.
        asked = torch.tensor([prompt[:-1]], device=device)
        answering = torch.tensor([[prompt[-1], *wanted[:-1]]], device=device)
        with torch.inference_mode(), autocast(str(device)):
            cache = self.model(input_ids=asked, use_cache=True, logits_to_keep=1).past_key_values
            with plain_attention(self.model):
                output = self.model(
                    input_ids=answering, past_key_values=cache, use_cache=True, output_attentions=True, logits_to_keep=1
                )
        received = self._received(output, len(prompt) + len(wanted) - 1)
        return np.array([received[start:end].sum().item() for start, end in spans])

    def _received(self, output: Any, length: int) -> Tensor:
        """For each token, attention times the value's norm, averaged over layers, heads and answer tokens. [tokens]"""
        import torch

        layers = getattr(output.past_key_values, "layers", None)
        if layers is None or any(getattr(layer, "values", None) is None for layer in layers):
            raise ModelError(
                f"{self.name}: its attention cannot be read, because it keeps no keys and values. Use another method "
                "or model."
            )
        total = torch.zeros(length, dtype=torch.float64)
        for layer, attention in zip(layers, output.attentions, strict=True):
            if layer.values.shape[2] != length:
                raise ModelError(
                    f"{self.name}: its attention does not reach back over the whole prompt. Use another model."
                )
            norms = layer.values[0].float().norm(dim=2)  # [key-value heads, tokens]
            norms = norms.repeat_interleave(attention.shape[1] // norms.shape[0], dim=0)  # grouped heads share values
            total += (attention[0].float().mean(dim=1) * norms).mean(dim=0).double().cpu()
        return total / len(layers)

    def _prompt(self, question: str, passages: Sequence[str]) -> tuple[list[int], list[tuple[int, int]]]:
        """The prompt's tokens, and where in them each passage stands."""
        start = self.tokenizer("").input_ids[:1]
        tokens = [*(start if start == [self.tokenizer.bos_token_id] else []), *self._tokens(_OPENING)]
        spans = []
        for passage in passages:
            own = self._tokens(passage)[: self.passage_tokens]
            spans.append((len(tokens), len(tokens) + len(own)))
            tokens = [*tokens, *own, *self._tokens("\n\n")]
        return [*tokens, *self._tokens(f"Question: {question}\nAnswer:")], spans

    def _answer(self, answer: str) -> list[int]:
        return self._tokens(f" {answer}")

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return tokens

    def _check_length(self, tokens: int) -> None:
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most and tokens > most:
            raise ModelError(
                f"{self.name}: a prompt of {tokens:,} tokens, but it reads at most {most:,}. Give fewer passages a "
                "query, or fewer tokens of each."
            )


def load_local_lm(name: str, device: str | None = None, passage_tokens: int = 256) -> LocalLM:
    """A causal language model by name.

    Args:
        name: a folder; "owner/name" on the Hugging Face hub; or a GGUF file as `find_gguf` takes it,
            which is unpacked to full precision and needs the package gguf.
        device: where it runs; None: a GPU if there is one.
        passage_tokens: a passage is cut after so many.

    Raises:
        ModelError: there is no such model, it cannot be reached or read, gguf is not installed, or this machine has no
            such device.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_device(device)
    place, where = find_local_lm(name)
    try:
        # Loading takes a second; the libraries' bars for it would fill a log.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(place, **where)
            # Pickled checkpoints can run code; only safetensors are read.
            weights = {} if where else {"use_safetensors": True}
            model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **weights, **where)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(
            f'language model "{name}" cannot be loaded: {reason}. Give a folder, owner/name on the hub, or a GGUF file '
            "of a model that transformers knows."
        ) from error
    model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
    return LocalLM(name, model, tokenizer, passage_tokens)


def find_local_lm(name: str) -> tuple[str, dict[str, str]]:
    """Where a language model is loaded from, and which file there if it is GGUF.

    Raises:
        ModelError: there is no such folder or file, or gguf is not installed.
    """
    if Path(name).expanduser().is_dir() or ("/" in name and not name.endswith(".gguf")):
        return resolve_model(name), {}
    path = find_gguf(name)
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{name}: reading GGUF weights needs the package gguf. pip install 'gguf>=0.10'")
    return str(path.parent), {"gguf_file": path.name}


def lm_identity(name: str) -> str:
    """What a language model is: a digest of its files or of parts of its GGUF file; on the hub, the name itself."""
    place, where = find_local_lm(name)
    return identity(Path(place) / where["gguf_file"]) if where else model_identity(place)
