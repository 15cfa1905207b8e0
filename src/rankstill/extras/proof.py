"""What one figure does not say: for which queries, which link lost most, and what was forgotten."""

from __future__ import annotations

import json
from pathlib import Path

from rankstill.config import Config, DatasetConfig
from rankstill.data import load_dataset
from rankstill.evaluation.chain_agreement import read_agreement
from rankstill.evaluation.chain_scores import attribute_workspace
from rankstill.evaluation.forgetting import forgetting_of_workspace
from rankstill.evaluation.slices import slice_runs
from rankstill.evaluation.systems import BEFORE, DISTILLED, MULTI_VECTOR_DISTILLED, read_runs
from rankstill.labels import read_labels
from rankstill.pipeline import open_chain
from rankstill.report.verdict import highest

SECOND = "nq-open"
"""The dataset that shows what was forgotten: it comes with the package, and training never touches it."""


def prove(config: Config, workspace: str | Path) -> str:
    """Slices, attribution, agreement and forgetting of a chain, as Markdown; kept in `proof.md` and `proof.json`.

    The chain runs to its end first, where it has not.
    """
    with open_chain(config, workspace) as chain:
        opened = chain.workspace
        table = chain.run().table
        dataset = chain.components.test_set
        # A baseline has no ranker, and then no links to tell apart.
        parts = {"Which link lost most": attribute_workspace(chain.components)} if chain.has_ranker else {}
        pages = [(title, part.to_markdown(), part.to_json()) for title, part in parts.items()]
        if "agreement" in chain.steps:
            agreement = read_agreement(opened.folder)
            pages.append((agreement.heading, agreement.to_markdown(), agreement.to_json()))
        if dataset.test and table is not None:
            runs = read_runs(opened.path("runs"))
            shown = dict.fromkeys((BEFORE, DISTILLED, MULTI_VECTOR_DISTILLED, highest(table)))
            labels = read_labels(opened.path("labels.parquet"))
            slices = slice_runs(
                {each: runs[each] for each in shown if each in runs},
                dataset,
                {query.id for query in labels},
                language=config.candidates.language,
                measure=config.evaluation.measures[0],
                seed=config.seed,
                resamples=config.evaluation.resamples,
            )
            pages.append(("For which queries", slices.to_markdown(), slices.to_json()))
        if config.dataset.source != SECOND:
            forgotten = forgetting_of_workspace(chain.components, load_dataset(DatasetConfig(source=SECOND)))
            pages.append((f"What was forgotten, on {SECOND}", forgotten.to_markdown(), forgotten.to_json()))
        text = "\n".join(f"## {title}\n\n{page.rstrip()}\n" for title, page, _ in pages)
        opened.write("proof.md", text)
        opened.write("proof.json", json.dumps({title: found for title, _, found in pages}, ensure_ascii=False) + "\n")
    return text
