"""PyLate and fast-plaid, on the same data, in an interpreter of their own: they need other versions than we do.

    python in_pylate.py FOLDER

FOLDER holds `passages.npz` and `queries.npz` (token vectors of all texts, and how many each has) and `lists.json`.
Each line on standard input, `search` or `train`, is done and answered by a line of JSON.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from fast_plaid.search import FastPlaid
from pylate import losses, models, utils
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

K = 10


def _texts(path: Path) -> list[torch.Tensor]:
    held = np.load(path)
    return list(torch.from_numpy(held["vectors"]).split(held["lengths"].tolist()))


def _plaid(folder: Path) -> Any:
    """An index with the defaults."""
    index = FastPlaid(index=str(folder / "plaid"), device="cpu")
    index.create(documents_embeddings=_texts(folder / "passages.npz"))
    return index


def search(index: Any, queries: list[torch.Tensor]) -> list[list[int]]:
    """The best passages of each query, one query at a time."""
    found = [index.search(query[None], top_k=K, show_progress=False)[0] for query in queries]
    return [[position for position, _ in each] for each in found]


def train(start: models.ColBERT, lists: dict[str, Any]) -> None:
    """An epoch by the stock trainer and PyLate's distillation loss, with the defaults."""
    model = copy.deepcopy(start)
    rows = Dataset.from_dict({name: lists[name] for name in ("query", "documents", "scores")})
    quiet = {"use_cpu": True, "save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    with tempfile.TemporaryDirectory() as folder:
        SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                folder, num_train_epochs=1, per_device_train_batch_size=8, remove_unused_columns=False, **quiet
            ),
            train_dataset=rows,
            loss=losses.Distillation(model=model),
            data_collator=utils.ColBERTCollator(tokenize_fn=model.tokenize, valid_label_columns=["scores"]),
        ).train()


def main() -> None:
    """Answer until standard input ends."""
    folder = Path(sys.argv[1])
    queries = _texts(folder / "queries.npz")
    lists = json.loads((folder / "lists.json").read_text(encoding="utf-8"))
    index, start = _plaid(folder), models.ColBERT(lists["model"], device="cpu")
    for line in sys.stdin:
        done = search(index, queries) if line.strip() == "search" else train(start, lists)
        sys.stdout.write("ANSWER " + json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
