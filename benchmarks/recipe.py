"""The recipe's study: the chain, its plain form and what it must beat, over seeds, on leak-free SciFact.

    python benchmarks/recipe.py [--seeds 3] [--only chain,no-ranker] [--folder FOLDER] [--validate]

Every variant trains on the 537 claims that share no gold passage with a test claim, with the demo's own defaults but
for what its line changes, and is measured on all 300 test claims. A finished variant is not run again, and what
variants share, such as the first stage and the labels, is made once. Writes `recipe-table.csv`,
`recipe-table-compared.csv` and `recipe-table.md` into docs/.

With --validate nothing is measured on test claims: two thirds of the training claims teach and a third, which shares no
gold passage with them, measures. Choices are made on that; the test split is looked at once, at the end.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rankstill.config import Config
from rankstill.datasets import Dataset, load_dataset
from rankstill.demo import demo_config
from rankstill.evaluation import Run, compare, holm, interval, per_query, read_run, write_run
from rankstill.evaluation.systems import encoded_run
from rankstill.models import load_bi_encoder
from rankstill.pipeline import Chain
from rankstill.progress import say
from rankstill.report.settings import machine
from rankstill.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
MEASURES = ("nDCG@10", "Hit@1", "Recall@100")
NO_HEAD = {"head.width": 0, "head.token_dimensions": 0}
Values = dict[str, dict[str, list[dict[str, float]]]]
"""System -> measure -> one seed after the other: query id -> value."""
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chain": ("the chain: the demo's defaults", {}),
    "untrained": ("the chain with a head that has learned nothing", {"head.steps": 0}),
    "adapter": ("the chain without token vectors", {"head.token_dimensions": 0}),
    "no-ranker": (
        "no ranker: the encoder trained on the LLM's order alone by KL, in-batch negatives; no free labels, no head",
        {"labels.ranked_by": "llm", "labels.pseudo_queries": 0, "retriever.epochs": 1, **NO_HEAD},
    ),
    "gold": (
        "no LLM: the encoder trained on the judged passages of the same queries, the same loss",
        {"labels.ranked_by": "gold", "labels.pseudo_queries": 0, "retriever.epochs": 1, **NO_HEAD},
    ),
    "first-choice": (
        "the encoder trained on the LLM's first choice alone, the same loss",
        {"labels.ranked_by": "first-choice", "labels.pseudo_queries": 0, "retriever.epochs": 1, **NO_HEAD},
    ),
    "cross-encoder": ("the chain with a cross-encoder on top of the prior", {"ranker.cross_encoder": True}),
    "plain": (
        "the paper's plain chain: no prior, the ranker's labels alone, no pseudo-queries, no in-batch negatives",
        {"preset": "paper"},
    ),
}


def config_of(variant: str, seed: int) -> Config:
    """The demo's defaults with the variant's changes."""
    return demo_config({**VARIANTS[variant][1], "seed": seed})


def validation_split(dataset: Dataset, seed: int = 0) -> Dataset:
    """Training queries alone: a third of them measures, none of which shares a gold passage with those that teach."""
    group = {query_id: query_id for query_id in dataset.train}

    def root(query_id: str) -> str:
        while group[query_id] != query_id:
            query_id = group[query_id]
        return query_id

    first_with: dict[str, str] = {}
    for query_id in dataset.train:
        for passage_id in dataset.qrels.get(query_id, {}):
            group[root(query_id)] = root(first_with.setdefault(passage_id, query_id))
    groups: dict[str, list[str]] = {}
    for query_id in dataset.train:
        groups.setdefault(root(query_id), []).append(query_id)
    order = np.random.default_rng(seed).permutation(sorted(groups))
    test: list[str] = []
    for name in order:
        if len(test) < len(dataset.train) // 3:
            test += groups[name]
    train = tuple(query_id for query_id in dataset.train if query_id not in set(test))
    return replace(dataset, name=f"{dataset.name} (validation)", train=train, test=tuple(test))


def first_stage(folder: Path, dataset: Dataset) -> Path:
    """A workspace that holds the candidates, for every variant to start from."""
    base = folder / "base"
    with Workspace(base) as workspace:
        Chain(config_of("chain", 0), workspace, dataset).run("rankings")
    return base


def run_variant(variant: str, seed: int, folder: Path, start: Path, dataset: Dataset) -> dict[str, Run]:
    """TREC runs of one variant's systems; the chain is evaluated whole, the others by their retriever alone."""
    place = folder / f"{variant}-{seed}"
    if not place.exists():
        copying = shutil.copytree(start, place.with_name(f"{place.name}.tmp"), dirs_exist_ok=True)
        copying.rename(place)  # a kill amid the copy leaves no workspace whose manifest claims what is not there
    with Workspace(place) as workspace:
        chain = Chain(config_of(variant, seed), workspace, dataset)
        if variant == "chain":
            chain.run()
            paths = sorted(path for path in workspace.path("runs").glob("*.trec") if path.name != "qrels.trec")
            return {path.stem: read_run(path) for path in paths}
        path = workspace.path("retriever-AFTER.trec")
        if not path.exists():
            chain.run("retriever")
            model = load_bi_encoder(str(workspace.path("retriever")))
            queries = {query_id: dataset.queries[query_id].text for query_id in dataset.test}
            write_run(encoded_run(model, dataset.corpus, queries), path, variant)
        return {"retriever-AFTER": read_run(path)}


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "workspaces" / "recipe")
    parser.add_argument("--only", default=",".join(VARIANTS), help="variants, by comma")
    parser.add_argument("--validate", action="store_true", help="measure on training claims that do not teach")
    arguments = parser.parse_args()
    dataset = load_dataset(config_of("chain", 0).dataset)
    folder, name = arguments.folder, "recipe-table"
    if arguments.validate:
        dataset, folder, name = validation_split(dataset), folder / "validation", "recipe-validation-table"
    base = first_stage(folder, dataset)
    values: Values = {}
    for seed in range(arguments.seeds):
        # The chain always runs: its "before" is what everything is compared with.
        for variant in dict.fromkeys(["chain", *arguments.only.split(",")]):
            say(f"--- {variant}, seed {seed}")
            start = base if variant == "chain" else folder / f"chain-{seed}"  # what a variant shares is not made again
            for system, run in run_variant(variant, seed, folder, start, dataset).items():
                row = f"{variant}: {system}"
                for measure, each in per_query(run, dataset.test_qrels(), MEASURES).items():
                    values.setdefault(row, {}).setdefault(measure, []).append(each)
        write_table(values, seed + 1, len(dataset.test), ROOT / "docs" / name)


def write_table(values: Values, seeds: int, n: int, path: Path) -> None:
    """Means over seeds; intervals and tests over the queries, each query's value being its mean over seeds."""
    main = {system: mean_per_query(measures["nDCG@10"]) for system, measures in values.items()}
    rows = [system_row(system, measures, main[system]) for system, measures in values.items()]
    rows.sort(key=lambda row: row["nDCG@10"], reverse=True)
    compared = comparison_rows(main)
    for name, written in ((path.name, rows), (f"{path.name}-compared", compared)):
        with path.with_name(f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, written[0])
            writer.writeheader()
            writer.writerows(written)
    ran = {system.partition(":")[0] for system in values}
    settings = [
        f"- `{name}`: {VARIANTS[name][0]}; `{json.dumps(VARIANTS[name][1])}`" for name in VARIANTS if name in ran
    ]
    command = shlex.join(["python", "benchmarks/recipe.py", *sys.argv[1:]])
    made = (
        f"Made by `{command}`, {datetime.date.today()}, {machine()}. {seeds} seed{'s' * (seeds > 1)}, n = {n} claims. "
        "Intervals: 95 % bootstrap over claims, each the mean of its seeds; p: paired randomisation test, "
        f"Holm-corrected for {len(compared)} comparisons."
    )
    parts = [markdown(rows), "What is compared, in nDCG@10:", markdown(compared), made, "\n".join(settings)]
    path.with_suffix(".md").write_text("\n\n".join(["# The recipe's table", *parts]) + "\n", "utf-8")


def system_row(system: str, measures: dict[str, list[dict[str, float]]], main: list[float]) -> dict[str, str]:
    """What one system reached."""
    low, high = interval(main, seed=0)
    return {
        "system": system,
        **{measure: f"{np.mean([list(e.values()) for e in each]):.4f}" for measure, each in measures.items()},
        "nDCG@10 by seed": " ".join(f"{np.mean(list(each.values())):.4f}" for each in measures["nDCG@10"]),
        "95 % interval": f"{low:.3f} to {high:.3f}",
    }


def comparison_rows(main: dict[str, list[float]]) -> list[dict[str, str]]:
    """Every retriever with the one before, and the chain's with whatever else a reader would compare it with."""
    before, after, on_top = "chain: retriever-before", "chain: retriever-AFTER", "chain: ranker-on-AFTER"
    pairs = [(system, before) for system in main if system != before and "retriever" in system]
    pairs += [(after, system) for system in main if system not in (before, after) and "retriever" in system]
    pairs += [(after, "chain: first-stage"), (on_top, "chain: ranker"), (on_top, "chain: first-stage")]
    found = [compare(main[other], main[system], seed=0) for system, other in pairs]
    adjusted = holm([each.p_value for each in found])
    return [
        {
            "system": system,
            "against": other,
            "difference": f"{each.difference:+.4f}",
            "95 % interval": f"{each.low:+.3f} to {each.high:+.3f}",
            "p": f"{p:.4f}",
        }
        for (system, other), each, p in zip(pairs, found, adjusted, strict=True)
    ]


def markdown(rows: list[dict[str, str]]) -> str:
    """Rows as a table."""
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0]), *(" | ".join(row.values()) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def mean_per_query(seeds: list[dict[str, float]]) -> list[float]:
    """Each query's value averaged over seeds, in order of query id."""
    return [float(np.mean([each[query_id] for each in seeds])) for query_id in sorted(seeds[0])]


if __name__ == "__main__":
    main()
