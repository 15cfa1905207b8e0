"""A multi-vector encoder from any bi-encoder, in sentence-transformers' own modules: it loads without this package."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer


def multi_vector_encoder(
    bi_encoder: SentenceTransformer, token_weights: NDArray[np.float32], context: float, pooling: float = 1.0
) -> MultiVectorEncoder:
    """The bi-encoder's token vectors for late interaction (ColBERT, Khattab and Zaharia 2020, arXiv 2004.12832).

    A passage's score is MaxSim: the sum over the query's tokens of the highest inner product with any of the passage's
    tokens. Two things are added to it. Each token vector takes in `context` times the mean of its text's token vectors,
    which is the bi-encoder's single vector: a token then matches one of the same meaning in a text on the same
    subject. And a query's tokens count by their weights, which are the lengths of their vectors. Special tokens count
    on neither side, and no prompt is put before a text, because its tokens would look for matches too.

    Args:
        bi_encoder: stays as it is.
        token_weights: of the tokens of a query. [vocabulary]
        context: 0 leaves each token vector as it is.
        pooling: a passage keeps one vector for so many tokens, the mean of some that lie near each other (Clavié et al.
            2024, arXiv 2409.14683); 1: one for each.

    Raises:
        ModelError: the model has no token vectors; or context is above 0 and its layers are not built as BERT's.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Router
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import WordWeights

    transformer = copy.deepcopy(transformer_of(bi_encoder))
    if context:
        _add_context_layer(transformer, context)
    tokenizer = bi_encoder.tokenizer
    vocabulary = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    weights = dict(zip(vocabulary, token_weights.tolist(), strict=True))
    special = sorted(set(tokenizer.all_special_tokens))
    of_passages: list[Any] = [Normalize("token_embeddings")]
    if pooling > 1:
        of_passages.append(HierarchicalTokenPooling(pooling, num_protected_tokens=0))
    model = MultiVectorEncoder(
        modules=[
            transformer,
            MultiVectorMask(special, skiplist_tasks=["query", "document"]),
            Router.for_query_document([Normalize("token_embeddings"), WordWeights(vocabulary, weights)], of_passages),
        ],
        device=str(bi_encoder.device),
    )
    return model.eval()


def with_pooling(model: MultiVectorEncoder, pooling: float) -> MultiVectorEncoder:
    """A ColBERT model that keeps one vector for so many tokens of a passage; without any pooling of its own.

    Args:
        pooling: see `multi_vector_encoder`.
    """
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling, HierarchicalTokenPooling

    modules = [module for module in model if not isinstance(module, BaseTokenPooling)]
    return _like(model, [*modules, HierarchicalTokenPooling(pooling)] if pooling > 1 else modules)


def shortened(model: MultiVectorEncoder, axes: NDArray[np.float32]) -> MultiVectorEncoder:
    """The same encoder, whose token vectors are their coordinates along some axes, as long as they were.

    Args:
        axes: orthonormal, one a row. [new dimensions, dimensions]
    """
    import torch
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    modules = list(model)
    place = next(place for place, module in enumerate(modules) if isinstance(module, MultiVectorMask))
    turn = Dense(
        axes.shape[1],
        axes.shape[0],
        bias=False,
        activation_function=None,
        init_weight=torch.from_numpy(axes),
        module_input_name="token_embeddings",
    )
    return _like(model, [*modules[:place], turn, *modules[place:]])


def _like(model: MultiVectorEncoder, modules: list[Any]) -> MultiVectorEncoder:
    """These modules, with the model's prompts and on its device."""
    from sentence_transformers import MultiVectorEncoder

    return MultiVectorEncoder(modules=modules, prompts=model.prompts, device=str(model.device)).eval()


@contextmanager
def every_token(model: MultiVectorEncoder) -> Iterator[None]:
    """Meanwhile passages keep all their token vectors: pooling has no gradient."""
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

    poolings: list[Any] = [module for module in model.modules() if isinstance(module, BaseTokenPooling)]
    for pooling in poolings:
        pooling.forward = _as_it_is
    try:
        yield
    finally:
        for pooling in poolings:
            del pooling.forward


def _as_it_is(features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
    return features


def has_token_vectors(model: SentenceTransformer) -> bool:
    """Whether a bi-encoder makes vectors of tokens on the way to that of a text; a table of static vectors does not."""
    try:
        transformer_of(model)
    except ModelError:
        return False
    return True


def takes_context(model: SentenceTransformer) -> bool:
    """Whether `multi_vector_encoder` can add a layer to this model that brings each token its text's mean."""
    return _is_like_bert(transformer_of(model).auto_model)


def transformer_of(model: SentenceTransformer) -> Any:
    """The part of a bi-encoder that makes the vectors of tokens; ModelError if it has none."""
    from sentence_transformers.base.modules import Router, Transformer

    first = model[0]
    if isinstance(first, Router):  # one that was distilled already: its encoder comes first on either route
        first = first.sub_modules["document"][0]
    if not isinstance(first, Transformer):
        raise ModelError("the retriever has no token vectors, so no multi-vector retriever can be made from it.")
    return first


def _is_like_bert(auto_model: Any) -> bool:
    names = ("attention.self.query", "attention.output.LayerNorm", "intermediate.dense", "output.LayerNorm")
    layers = getattr(getattr(auto_model, "encoder", None), "layer", None)
    if not layers:
        return False
    within = dict(layers[-1].named_modules())
    return all(name in within for name in names)


def _add_context_layer(transformer: Any, context: float) -> None:
    """One more layer of the model's own kind that adds `context` times the mean of all tokens to each.

    Its attention is even, for queries and keys are zero; values pass as they are; and its feed-forward part is zero.
    Its two layer norms only centre and scale, which costs one of the vector's dimensions.
    """
    import torch

    if not _is_like_bert(transformer.auto_model):
        raise ModelError("this encoder's layers are not like BERT's, so its tokens cannot take in context.")
    layers = transformer.auto_model.encoder.layer
    layer = copy.deepcopy(layers[-1])
    attention = layer.attention
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        attention.self.value.weight.copy_(torch.eye(len(attention.self.value.weight)))
        attention.output.dense.weight.copy_(context * torch.eye(len(attention.output.dense.weight)))
    layers.append(layer)
    transformer.auto_model.config.num_hidden_layers = len(layers)
