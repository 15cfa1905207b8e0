"""The model card of a distilled retriever: how it was made, on what, and with which result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankstill.config import Config, public_yaml
from rankstill.data import Dataset
from rankstill.evaluation.systems import MULTI_VECTOR, MULTI_VECTOR_DISTILLED
from rankstill.multi_vector import TokenIndex
from rankstill.multi_vector.choosing import read_choice

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.multi_vector import Choice
    from rankstill.outcome import Outcome
    from rankstill.report.verdict import Verdict

_CITATION = """@misc{li2024intermediate,
  title = {Intermediate Distillation: Data-Efficient Distillation from Black-Box LLMs for Information Retrieval},
  author = {Li, Zizhong and Zhang, Haopeng and Zhang, Jiawei},
  year = {2024}, eprint = {2406.12169}, archivePrefix = {arXiv}
}"""


_USE = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
passages = model.encode_document(["a passage"])
query = model.encode_query("a query")  # with the prompt for queries, if the model has one
print(model.similarity(query, passages))"""
_USE_MULTI_VECTOR = """from sentence_transformers import MultiVectorEncoder

model = MultiVectorEncoder("path/to/this/folder")
passages = model.encode_document(["a passage"])  # a vector for each token
query = model.encode_query(["a query"])
print(model.similarity(query, passages))  # MaxSim"""


def write_cards(components: Components, outcome: Outcome) -> None:
    """Write the model cards into the folders of a chain's retrievers."""
    config, dataset, workspace = components.config, components.dataset, components.workspace
    workspace.write("retriever/README.md", model_card(config, dataset, outcome))
    if components.has_multi_vector:
        chosen = read_choice(components)
        size = TokenIndex.load(workspace.path("multi-vector-index")).bytes_per_passage
        workspace.write("multi-vector/README.md", multi_vector_card(config, dataset, outcome, chosen, size))
        if components.has_distilled_multi_vector:
            card = multi_vector_card(config, dataset, outcome, chosen, size, trained=True)
            workspace.write("multi-vector-distilled/README.md", card)


def model_card(config: Config, dataset: Dataset, outcome: Outcome) -> str:
    """The distilled retriever's: Markdown with the metadata block that model hubs read."""
    extra = f", {len(dataset.extra):,} unlabelled queries" if dataset.extra else ""
    taught = f"{len(dataset.train):,} queries that could teach{extra}"
    made_on = f"{dataset.name}: {len(dataset.corpus):,} passages, {taught}."
    what = f"""# A retriever distilled on {dataset.name}

{config.retriever.model}, trained with Rankstill {_taught_by(config)}."""
    tags = "[sentence-transformers, sentence-similarity, feature-extraction, rankstill]"
    return _card(config, outcome, what, outcome.verdict(), _USE, made_on, tags, config.retriever.model)


def multi_vector_card(
    config: Config, dataset: Dataset, outcome: Outcome, chosen: Choice | None, size: float, *, trained: bool = False
) -> str:
    """As `model_card`, of the multi-vector retriever, as it was made or as it was trained.

    Args:
        chosen: None: it was not made from the retriever, but is a ColBERT model.
        size: bytes of a passage in the run's index.
    """
    system = MULTI_VECTOR_DISTILLED if trained else MULTI_VECTOR
    weights = "No weight was trained."
    if trained:
        taught = _taught_by(config)
        weights = f"Its encoder was trained with Rankstill {taught}; the notes say how much of it is kept."
    base, counted = config.multi_vector.model or config.retriever.model, ""
    what = f"""# A multi-vector retriever for {dataset.name}

The token vectors of {base}, matched by MaxSim. {weights}"""
    if chosen is not None:
        counted = ", which say how rare each token is"
        what += f"""
{chosen.lists:,} of an LLM's rankings chose two numbers. Each token's vector takes in {chosen.context:g} times the mean
of its text's. And a query's tokens count by their inverse document frequency in this corpus, to the power of
{chosen.idf_power:g}."""
    made_on = (
        f"{dataset.name}: {len(dataset.corpus):,} passages{counted}. The run's index takes {size / 1000:.1f} kB a "
        f"passage on disk (`multi_vector.bits: {config.multi_vector.bits}`)."
    )
    tags = "[sentence-transformers, multi-vector, late-interaction, feature-extraction, rankstill]"
    return _card(config, outcome, what, outcome.verdict(system), _USE_MULTI_VECTOR, made_on, tags, base)


def _card(
    config: Config, outcome: Outcome, what: str, found: Verdict, use: str, made_on: str, tags: str, base: str
) -> str:
    if found.not_better:
        title, rest = what.split("\n", 1)
        what = f"{title}\n\n**{found.sentence}** {found.cause}\n{rest}"
    result = "Not measured: the dataset has no judgements and no answers."
    if outcome.table:
        result = outcome.table.to_markdown()
    if found.kind != "none":
        result = f"{found.sentence} {found.test}\n\n{result}"
    if outcome.agreement is not None:
        result += f"\n### {outcome.agreement.heading}\n\n{outcome.agreement.to_markdown()}"
    notes = "\n".join(f"- {note}" for note in outcome.notes) or "- none"
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
base_model: {base}
tags: {tags}
---

{what}

```python
{use}
```

## Made on

{made_on}

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
        return f"by the baseline {labels.white_box}: probabilities or attention of {config.white_box.model}"
    baselines = {"gold": "judged passages", "first-choice": "an LLM's first choices", "llm": "an LLM's order alone"}
    if labels.ranked_by in baselines:
        return f"by a baseline: {baselines[labels.ranked_by]}"
    return "by distilling an LLM's rankings:\nLLM -> ranker -> retriever (Li, Zhang and Zhang 2024, arXiv 2406.12169)"
