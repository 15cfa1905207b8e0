"""What one figure does not say: for which queries, which link lost most, what was forgotten, and are answers better?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.config import Config, DatasetConfig

if TYPE_CHECKING:
    from rankstill.rag import RagTable

SECOND = "nq-open"
"""The dataset that shows what was forgotten: it comes with the package, and training never touches it."""


def prove(config: Config, workspace: str | Path) -> str:
    """Slices, attribution and forgetting of a chain, as Markdown; kept in `proof.md` and `proof.json` as well.

    The chain runs to its end first, where it has not.

    Raises:
        RankstillError: as the chain.
    """
    from rankstill.datasets import load_dataset
    from rankstill.evaluation import read_run
    from rankstill.evaluation.chain_scores import attribute_workspace
    from rankstill.evaluation.forgetting import forgetting_of_workspace
    from rankstill.evaluation.slices import slice_runs
    from rankstill.labels import read_labels
    from rankstill.pipeline import open_chain

    with open_chain(config, workspace) as chain:
        opened, dataset = chain.workspace, chain.dataset
        chain.run()
        # A baseline has no ranker, and then no links to tell apart.
        parts = {"Which link lost most": attribute_workspace(chain.parts)} if chain.has_ranker else {}
        pages = [(title, part.to_markdown(), part.to_json()) for title, part in parts.items()]
        if dataset.test:
            before, after = (read_run(opened.path(f"runs/retriever-{each}.trec")) for each in ("before", "AFTER"))
            labels = read_labels(opened.path("labels.parquet"))
            slices = slice_runs(
                before,
                after,
                dataset,
                {query.id for query in labels if query.source == "teacher"},
                language=config.candidates.language,
                measure=config.evaluation.measures[0],
                seed=config.seed,
                resamples=config.evaluation.resamples,
            )
            pages.append(("For which queries", slices.to_markdown(), slices.to_json()))
        if config.dataset.source != SECOND:
            forgotten = forgetting_of_workspace(chain.parts, load_dataset(DatasetConfig(source=SECOND)))
            pages.append((f"What was forgotten, on {SECOND}", forgotten.to_markdown(), forgotten.to_json()))
        text = "\n".join(f"## {title}\n\n{page.rstrip()}\n" for title, page, _ in pages)
        opened.write("proof.md", text)
        opened.write("proof.json", json.dumps({title: found for title, _, found in pages}, ensure_ascii=False) + "\n")
    return text


def answer_questions(config: Config, workspace: str | Path) -> RagTable:
    """Have a reader LLM answer the test questions from what each system found; the table lies in `rag/` as well.

    The chain runs to its end first, where it has not.

    Raises:
        RankstillError: as `rag_table`, or the chain.
    """
    from rankstill.evaluation import read_run
    from rankstill.pipeline import open_chain
    from rankstill.rag import RagSettings, rag_table
    from rankstill.teacher import Teacher

    with open_chain(config, workspace) as chain:
        with Teacher(config.rag.reader or config.teacher, chain.parts.account, config.seed) as reader:
            chain.run()
            names = ["BM25", "retriever before", "retriever AFTER"]
            names += ["ranker on AFTER"] if chain.has_ranker else []
            runs = {name: read_run(chain.workspace.path(f"runs/{name.replace(' ', '-')}.trec")) for name in names}
            settings = RagSettings(
                k=config.rag.k,
                baseline="retriever before",
                count=config.rag.questions,
                seed=config.seed,
                resamples=config.evaluation.resamples,
            )
            table = rag_table(reader, chain.dataset, runs, settings)
        table.write(chain.workspace.path("rag"))
    return table
