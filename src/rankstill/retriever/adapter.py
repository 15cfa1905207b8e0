"""Labels -> retriever, second part: an adapter that moves each passage's vector to where its queries look for it.

Training an encoder sees a few dozen passages a step. The adapter sees the whole corpus: it works on vectors that are
computed once, so that a step can compare hundreds of queries with every passage in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankstill.labels.table import LabelledQuery
from rankstill.models import autocast
from rankstill.progress import progress
from rankstill.retriever.loss import UNLABELLED, kl_to_ranker

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import AdapterConfig

PASSAGES_A_STEP = 8192
"""Of a larger corpus, a step compares with a sample of this size: its queries' best passages, and others at random."""
_BEST_OF_A_QUERY = 8
_LOG_EVERY = 10


class PassageAdapter(nn.Module):
    """normalize(x + V relu(U x + b)): a residual network with one hidden layer, which starts as the identity.

    Args:
        dimensions: of the vectors.
        width: hidden units.
    """

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(dimensions, width)
        self.down = nn.Linear(width, dimensions, bias=False)
        nn.init.normal_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.down.weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """Unit vectors to unit vectors. [passages, dimensions]"""
        shift = self.down(torch.relu(self.up(vectors)))
        return nn.functional.normalize(vectors + shift.float(), dim=1)

    def as_modules(self) -> list[nn.Module]:
        """The same function from sentence-transformers' own modules, which load without this package.

        Their `Dense` has no residual around two layers, so the identity rides through the ReLU as relu(x) - relu(-x).
        """
        from sentence_transformers.base.modules import Dense, Normalize

        width, dimensions = self.up.weight.shape
        same = torch.eye(dimensions)
        up_weight = torch.cat([self.up.weight.detach().cpu(), same, -same])
        up_bias = torch.cat([self.up.bias.detach().cpu(), torch.zeros(2 * dimensions)])
        hidden = width + 2 * dimensions
        up = Dense(dimensions, hidden, activation_function=nn.ReLU(), init_weight=up_weight, init_bias=up_bias)
        down_weight = torch.cat([self.down.weight.detach().cpu(), same, -same], dim=1)
        down = Dense(hidden, dimensions, bias=False, activation_function=nn.Identity(), init_weight=down_weight)
        return [up, down, Normalize()]


def with_adapter(model: SentenceTransformer, adapter: PassageAdapter) -> SentenceTransformer:
    """A retriever whose passages go through the adapter and whose queries do not: a plain sentence-transformers model.

    The encoder stands in the folder once and is loaded once, for both.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router

    encoder: list[nn.Module] = [*model, Normalize()]
    both = Router.for_query_document([*encoder], [*encoder, *adapter.as_modules()], default_route="document")
    adapted = SentenceTransformer(modules=[both], device=str(model.device), prompts=dict(model.prompts))
    adapted.similarity_fn_name = "cosine"
    return adapted.eval()


def train_adapter(
    labels: Sequence[LabelledQuery],
    queries: NDArray[np.float32],
    passages: NDArray[np.float32],
    config: AdapterConfig,
    *,
    teacher_temperature: float,
    seed: int,
    device: str,
) -> tuple[PassageAdapter, list[dict[str, float]]]:
    """Distil labels into an adapter: the KL divergence of Li et al. 2024, stage 2, over the whole corpus.

    A passage that the ranker did not label for a query is irrelevant to it.

    Args:
        labels: the ranker's scores.
        queries: the queries' unit vectors, which stay as they are. [queries, dimensions]
        passages: the corpus's unit vectors. [passages, dimensions]
        config: see `AdapterConfig`.
        teacher_temperature: tau_t.
        seed: of the weights and of the sampling.
        device: where to train.

    Returns:
        The adapter, and its training curve: step, loss and its terms.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    ranked, free = _deal(labels)
    adapter = PassageAdapter(passages.shape[1], config.width).to(device)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=config.learning_rate)
    asked = torch.from_numpy(queries).to(device)
    curve: list[dict[str, float]] = []
    with progress("training the adapter", config.steps) as advance:
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * min(1.0, (step + 1) / 20) * (1 - step / config.steps)
            drawn = [_draw(random, free, config.queries_per_step), _draw(random, ranked, config.ranked_per_step)]
            rows = np.concatenate(drawn)
            chosen = _step_passages([labels[row] for row in rows], len(passages), random)
            before = torch.from_numpy(np.ascontiguousarray(passages[chosen])).to(device)
            with autocast(device):
                after = adapter(before)
                cosines = (asked[torch.from_numpy(rows).to(device)] @ after.T).float()
            wanted = torch.from_numpy(_label_matrix([labels[row] for row in rows], chosen)).to(device)
            kl = kl_to_ranker(cosines, wanted, teacher_temperature, config.student_temperature)
            terms = {"anchor": config.anchor * (after - before).square().sum(dim=1).mean()}
            for name, part, weight in (
                ("kl", kl[: len(drawn[0])], 1.0),
                ("kl_ranked", kl[len(drawn[0]) :], config.ranked_weight),
            ):
                if len(part):
                    terms[name] = weight * part.mean()
            loss = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if (step + 1) % _LOG_EVERY == 0:
                curve.append(
                    {"step": step + 1.0, "loss": loss.item(), **{name: term.item() for name, term in terms.items()}}
                )
            advance(1)
    return adapter.eval(), curve


def _deal(labels: Sequence[LabelledQuery]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the queries that the LLM ranked, and of the free ones; where none is free, all count as free."""
    ranked = np.array([query.source == "teacher" for query in labels], dtype=bool)
    if ranked.all():
        ranked = ~ranked
    return np.flatnonzero(ranked), np.flatnonzero(~ranked)


def _draw(random: np.random.Generator, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return random.choice(rows, min(count, len(rows)), replace=False)


def _step_passages(queries: Sequence[LabelledQuery], corpus: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the passages that a step compares with, ascending: all of them, or a sample."""
    if corpus <= PASSAGES_A_STEP:
        return np.arange(corpus)
    best = np.unique(np.concatenate([query.positions[:_BEST_OF_A_QUERY] for query in queries]))
    others = random.choice(corpus, PASSAGES_A_STEP, replace=False)
    return np.union1d(best, others[: max(0, PASSAGES_A_STEP - len(best))])


def _label_matrix(queries: Sequence[LabelledQuery], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """The ranker's scores of the chosen passages, `UNLABELLED` where it gave none. [queries, passages]"""
    matrix = np.full((len(queries), len(chosen)), UNLABELLED, dtype=np.float32)
    for row, query in zip(matrix, queries, strict=True):
        column = np.minimum(np.searchsorted(chosen, query.positions), len(chosen) - 1)
        here = chosen[column] == query.positions
        row[column[here]] = query.scores[here]
    return matrix
