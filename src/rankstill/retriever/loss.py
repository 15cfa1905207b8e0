"""The retriever's loss of a step: every query against every passage, each encoded once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankstill.compute.memory import DeviceMemory
from rankstill.compute.micro_batches import in_micro_batches
from rankstill.distributed.processes import all_gather_vectors
from rankstill.losses.kl import Divergence, kl_to_ranker
from rankstill.retriever.student import Student, Task

_TASKS: tuple[Task, Task] = ("query", "document")
_FEW = 32  # texts of a forward pass, where memory is not a GPU's


class DistillationLoss(nn.Module):
    """The retriever's loss for one step: every query against every passage, each encoded once.

    With `in_batch`, passages that a query has no label for stay in the retriever's distribution, and the ranker gives
    them probability 0. So they are in-batch negatives inside the KL divergence.

    Args:
        divergence: the loss of each query; its name is that of its terms.
        teacher_temperature: tau_t.
        student_temperature: tau_s.
        in_batch: see above; False is the paper's loss over the query's own passages.
        micro_batch: texts a forward pass; texts are sorted by length, so that little is padding.
            None: 32 on a processor, on a GPU what its memory holds (`DeviceMemory`).

    Inputs:
        features: tokens of the queries and of the passages; where several processes train, of this one's share of both.
        labels: the ranker's scores, `UNLABELLED` where it gave none. [queries, passages]
    """

    def __init__(
        self,
        model: nn.Module,
        student: Student,
        divergence: Divergence = kl_to_ranker,
        *,
        teacher_temperature: float,
        student_temperature: float,
        in_batch: bool,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.student = student
        self.divergence = divergence
        self.name = "kl" if divergence is kl_to_ranker else divergence.__name__
        self.teacher_temperature = teacher_temperature
        self.student_temperature = student_temperature
        self.in_batch = in_batch
        self.memory = DeviceMemory.of(model)
        self.micro_batch = micro_batch or self.memory.micro_batch_size(_FEW)

    def forward(self, features: list[dict[str, Tensor]], labels: Tensor) -> dict[str, Tensor]:
        """The loss of a step, by its name."""
        queries, passages = (
            all_gather_vectors(self._embed(texts, task), count)
            for texts, task, count in zip(features, _TASKS, labels.shape, strict=True)
        )
        similarities = self.student.compare(queries, passages)
        compared = similarities if self.in_batch else similarities.masked_fill(~torch.isfinite(labels), float("-inf"))
        costs = self.divergence(compared, labels, self.teacher_temperature, self.student_temperature)
        return {self.name: costs.mean()}

    def _embed(self, texts: dict[str, Tensor], task: Task) -> Tensor:
        """Vectors in the order given, computed longest first in micro-batches without needless padding."""
        lengths = texts["attention_mask"].sum(dim=1)
        order = torch.argsort(lengths, descending=True, stable=True)
        # A ColBERT model may match mask tokens that it does not attend to.
        read = texts["attention_mask"].bool() | texts.get("query_expansion_positions", texts["attention_mask"]).bool()
        batches = []
        for rows in torch.split(order, self.micro_batch):
            used = read[rows].any(dim=0)  # whichever side the tokenizer pads
            batches.append(
                {
                    name: values[rows][:, used] if isinstance(values, Tensor) and values.ndim == 2 else values
                    for name, values in texts.items()
                }
            )
        made = in_micro_batches(
            lambda batch: self.student.embed(self.model, dict(batch), task),
            batches,
            lengths.device.type,
            kept=self.memory.fits_step(sum(batch["attention_mask"].numel() for batch in batches)),
        )
        return made[torch.argsort(order)]
