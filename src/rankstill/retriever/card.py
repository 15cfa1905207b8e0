"""The model card of a distilled retriever: how it was made, on what, and with which result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankstill.config import Config, public_yaml
from rankstill.datasets import Dataset

if TYPE_CHECKING:
    from rankstill.outcome import Outcome

_CITATION = """@misc{li2024intermediate,
  title = {Intermediate Distillation: Data-Efficient Distillation from Black-Box LLMs for Information Retrieval},
  author = {Li, Zizhong and Zhang, Haopeng and Zhang, Jiawei},
  year = {2024}, eprint = {2406.12169}, archivePrefix = {arXiv}
}"""


def model_card(config: Config, dataset: Dataset, outcome: Outcome) -> str:
    """Markdown with the metadata block that model hubs read.

    Args:
        config: of the experiment.
        dataset: that it ran on.
        outcome: what came of it.
    """
    result = outcome.table.to_markdown() if outcome.table else "Not measured: the dataset has nothing to measure with."
    notes = "\n".join(f"- {note}" for note in outcome.notes) or "- none"
    extra = f", {len(dataset.extra):,} unlabelled queries" if dataset.extra else ""
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
base_model: {config.retriever.model}
tags: [sentence-transformers, sentence-similarity, feature-extraction, rankstill]
---

# A retriever distilled on {dataset.name}

{config.retriever.model}, trained with Rankstill {_taught_by(config)}.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
passages = model.encode_document(["a passage"])  # `encode` does the same
query = model.encode_query("a query")  # queries have a way of their own through the model
print(model.similarity(query, passages))
```

## Made on

{dataset.name}: {len(dataset.corpus):,} passages, {len(dataset.train):,} queries that could teach{extra}, and
up to {config.labels.pseudo_queries:,} pseudo-queries drawn from the corpus.

## Result

{result}

## What to know

{notes}

## Settings

```yaml
{public_yaml(config).rstrip()}
```

## Cite

```bibtex
{_CITATION}
```
"""


def _taught_by(config: Config) -> str:
    labels = config.labels
    if labels.white_box:
        return f"by the baseline {labels.white_box}: what {config.white_box.model} says of each passage from within"
    baselines = {"gold": "judged passages", "first-choice": "an LLM's first choices", "llm": "an LLM's order alone"}
    if labels.ranked_by in baselines:
        return f"by a baseline: {baselines[labels.ranked_by]}"
    return "by distilling an LLM's rankings:\nLLM -> ranker -> retriever (Li, Zhang and Zhang 2024, arXiv 2406.12169)"
