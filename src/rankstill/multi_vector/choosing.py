"""Choose, by the LLM's rankings, how much of its text a token vector takes in and how much rare tokens count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.precision import autocast
from rankstill.losses.listmle import plackett_luce_nll, weighted_mean
from rankstill.multi_vector.model import takes_context, transformer_of
from rankstill.progress import progress
from rankstill.ranker.prior import fit_prior

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from rankstill.components import Components
    from rankstill.config import MultiVectorConfig
    from rankstill.ranker import RankedList


_CONTEXTS = (0.0, 0.5, 1.0, 1.5, 2.0)
_IDF_POWERS = (0.0, 0.5, 1.0)
_MOST_LISTS = 100
"""Two numbers are chosen: more lists choose the same ones, and every list has ten passages to encode."""
_TEXTS_A_BATCH = 16
_TEXTS_COUNTED_AT_ONCE = 256


@dataclass(frozen=True)
class Choice:
    """The values that the LLM's rankings chose for `multi_vector_encoder`.

    Args:
        context: how many times its text's mean each token vector takes in.
        idf_power: a query's token counts by its inverse document frequency to this power; 0: all alike.
        loss: the loss of the rankings under the Plackett-Luce model of MaxSim, in nats a list.
    """

    context: float
    idf_power: float
    loss: float
    lists: int


def read_choice(components: Components) -> Choice | None:
    """The values that the rankings chose; None if the multi-vector retriever is a ColBERT model, or there is none."""
    held = json.loads(components.workspace.path("multi-vector.json").read_text(encoding="utf-8"))
    return Choice(**held) if held else None


def choose(
    bi_encoder: SentenceTransformer, lists: Sequence[RankedList], idf: NDArray[np.float32], config: MultiVectorConfig
) -> Choice:
    """Choose the context and the power of idf that make the LLM's rankings likeliest (ListMLE, Xia et al. 2008).

    Args:
        lists: the LLM's rankings; the first hundred are read.
        idf: of each token. [vocabulary]
        config: options that are set there are not chosen.
    """
    contexts = _CONTEXTS if takes_context(bi_encoder) else (0.0,)
    if config.context is not None:
        contexts = (config.context,)
    powers = _IDF_POWERS if config.idf_power is None else (config.idf_power,)
    lists = lists[:_MOST_LISTS]
    texts = sorted({text for each in lists for text in (each.query, *each.passages)}, key=len, reverse=True)
    hidden = _HiddenStates.of(bi_encoder, texts)
    tried = []
    for context in contexts:
        by_power = [_features(hidden, each, context, [idf**power for power in powers]) for each in lists]
        for column, power in enumerate(powers):
            features = [each[:, [column]] for each in by_power]
            tried.append(Choice(context, power, _loss(features, lists), len(lists)))
    return min(tried, key=lambda choice: choice.loss)


@dataclass(frozen=True)
class _HiddenStates:
    """The encoder's token vectors of texts (its hidden states), before context, weights or pooling.

    Args:
        ids: token ids of each text. Each [tokens]
        counts: which of them are not special tokens. Each [tokens]
        vectors: the last layer's. Each [tokens, dimensions]
    """

    ids: dict[str, Tensor]
    counts: dict[str, Tensor]
    vectors: dict[str, Tensor]

    @classmethod
    def of(cls, bi_encoder: SentenceTransformer, texts: Sequence[str]) -> _HiddenStates:
        import torch

        transformer, found = transformer_of(bi_encoder), cls({}, {}, {})
        special = torch.tensor(bi_encoder.tokenizer.all_special_ids)
        with torch.inference_mode(), autocast(str(bi_encoder.device)), progress("reading lists", len(texts)) as advance:
            for start in range(0, len(texts), _TEXTS_A_BATCH):
                batch = texts[start : start + _TEXTS_A_BATCH]
                read = transformer.preprocess(list(batch))
                read = {
                    name: each.to(bi_encoder.device) if hasattr(each, "to") else each for name, each in read.items()
                }
                made = transformer(dict(read))["token_embeddings"].float().cpu()
                for text, ids, mask, vectors in zip(
                    batch, read["input_ids"].cpu(), read["attention_mask"].bool().cpu(), made, strict=True
                ):
                    found.ids[text], found.vectors[text] = ids[mask], vectors[mask]
                    found.counts[text] = ~torch.isin(ids[mask], special)
                advance(len(batch))
        return found

    def tokens(self, text: str, context: float) -> Tensor:
        """Unit vectors as `multi_vector_encoder` makes them, special tokens left out. [tokens, dimensions]"""
        import torch

        vectors = self.vectors[text]
        if context:
            vectors = vectors + context * vectors.mean(dim=0)
            vectors = vectors - vectors.mean(dim=1, keepdim=True)
        return torch.nn.functional.normalize(vectors[self.counts[text]], dim=1)


def _features(
    hidden: _HiddenStates, ranked: RankedList, context: float, weights: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """MaxSim of each passage by each of the weights, divided by the sum of the query's. [passages, weights]"""
    import torch

    query = hidden.tokens(ranked.query, context)
    ids = hidden.ids[ranked.query][hidden.counts[ranked.query]].numpy()
    found = torch.zeros(len(ranked.passages), len(query))
    for row, passage in enumerate(ranked.passages):
        tokens = hidden.tokens(passage, context)
        if len(tokens) and len(query):
            found[row] = (query @ tokens.T).amax(dim=1)
    own = np.stack([each[ids] for each in weights], axis=1)
    scores: NDArray[np.float32] = found.numpy() @ own / np.maximum(own.sum(axis=0), 1e-9)
    return scores.astype(np.float32)


def _loss(features: Sequence[NDArray[np.float32]], lists: Sequence[RankedList]) -> float:
    import torch

    known, weights = [each.known for each in lists], [each.weight for each in lists]
    scale = fit_prior(("late",), features, known, weights, least=0.0)
    scores = [torch.from_numpy(scale.scores(each)) for each in features]
    padded = torch.nn.utils.rnn.pad_sequence(scores, batch_first=True, padding_value=float("-inf"))
    return float(weighted_mean(plackett_luce_nll(padded, torch.tensor(known)), torch.tensor(weights)))


def inverse_document_frequency(bi_encoder: SentenceTransformer, passages: Sequence[str]) -> NDArray[np.float32]:
    """ln(1 + (N - n + 0.5) / (n + 0.5)) of each token that n of the N passages hold, as BM25 has it. [vocabulary]"""
    tokenizer, length = bi_encoder.tokenizer, bi_encoder.max_seq_length
    held_by = np.zeros(len(tokenizer))
    with progress("counting tokens", len(passages)) as advance:
        for start in range(0, len(passages), _TEXTS_COUNTED_AT_ONCE):
            texts = list(passages[start : start + _TEXTS_COUNTED_AT_ONCE])
            read = tokenizer(texts, truncation=length is not None, max_length=length, add_special_tokens=False)
            for ids in read["input_ids"]:
                held_by[np.unique(ids).astype(np.int64)] += 1
            advance(len(texts))
    return np.log1p((len(passages) - held_by + 0.5) / (held_by + 0.5)).astype(np.float32)
