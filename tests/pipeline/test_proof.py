"""What is proven of a finished chain: each link on queries that taught nothing, and what was forgotten elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import rankstill
from rankstill.components import Components
from rankstill.config import Config, read_config
from rankstill.data import load_dataset
from rankstill.errors import WorkspaceError
from rankstill.evaluation import read_run
from rankstill.evaluation.chain_scores import attribute_workspace
from rankstill.evaluation.forgetting import forgetting_of_workspace
from rankstill.evaluation.slices import slice_runs
from rankstill.workspace import Workspace


def components_of(folder: Path) -> Components:
    config = read_config(folder / "config.yaml")
    return Components(config, Workspace(folder), load_dataset(config.dataset))


@pytest.fixture(scope="module")
def leaky(toy_dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy dataset with three training queries that leak: their gold passages are gold for a test query too."""
    folder = shutil.copytree(toy_dataset_folder, tmp_path_factory.mktemp("leaky") / "toy")
    train, test = ((folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:] for split in ("train", "test"))
    rows = [f"{test[0].split()[0]}\t{line.split()[1]}\t1" for line in train[:3]]
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def chain(toy_config, leaky: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished chain on it, which dropped the three. Read-only."""
    return rankstill.distill(toy_config(source=leaky), tmp_path_factory.mktemp("proof") / "w").workspace


@pytest.fixture
def chain_copy(chain: Path, tmp_path: Path) -> Path:
    return shutil.copytree(chain, tmp_path / "w")


def test_ranked_queries_that_were_dropped_prove_the_whole_chain_and_the_others_what_they_can(chain_copy: Path) -> None:
    found = attribute_workspace(components_of(chain_copy))
    assert [(group.name, group.proof, group.n) for group in found.groups] == [
        ("held-out queries", True, 3),
        ("test queries", True, 8),
        ("training queries", False, 21),
    ]
    assert [list(group.ndcg) for group in found.groups] == [
        ["teacher", "ranker", "retriever"],
        ["ranker", "retriever"],
        ["teacher", "ranker", "retriever"],
    ]
    # The toy teacher puts the answer first.
    assert [found.groups[row].ndcg["teacher"] for row in (0, 2)] == [1.0, 1.0]
    assert "n = 3 held-out queries" in found.conclusion()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels.ranked_by": "both"}, True),
        ({"labels.ranked_by": "ranker"}, False),
    ],
)
def test_other_labels_than_the_rankers_are_said_where_the_retriever_learned_from_them(
    toy_config, leaky: Path, chain_copy: Path, changes: dict[str, object], said: bool
) -> None:
    components = Components(
        toy_config(changes, source=leaky), Workspace(chain_copy), load_dataset(toy_config(source=leaky).dataset)
    )
    assert any("did not learn from the ranker alone" in note for note in attribute_workspace(components).notes) == said


def test_vectors_turned_round_turn_the_retrievers_orders_round_and_its_link_is_named(chain_copy: Path) -> None:
    components = components_of(chain_copy)
    before = attribute_workspace(components)
    # Vectors that say the opposite: every order of the retriever is turned round, and the link into it must show it.
    path = chain_copy / "vectors-after" / "passages.npy"
    np.save(path.with_name("turned.npy"), -np.load(path))
    path.with_name("turned.npy").replace(path)
    after = attribute_workspace(components)
    for old, new in zip(before.groups, after.groups, strict=True):
        assert new.links[-1].tau == pytest.approx(-old.links[-1].tau, abs=1e-6)
        assert new.worst().target == "retriever"
        assert new.ndcg["ranker"] == old.ndcg["ranker"]


def test_without_a_held_out_ranking_the_teachers_link_is_said_to_be_unproven(finished_copy: Path) -> None:
    found = attribute_workspace(components_of(finished_copy))
    assert [group.name for group in found.groups] == ["test queries", "training queries"]
    assert found.notes[0].startswith("No held-out query")


def test_a_query_that_shares_its_gold_passage_with_a_training_query_proves_nothing(
    toy_config, leaky: Path, tmp_path: Path
) -> None:
    config: Config = toy_config({"dataset.leaks": "keep"}, source=leaky)
    workspace = rankstill.distill(config, tmp_path / "w").workspace
    groups = {group.name: group.n for group in attribute_workspace(components_of(workspace)).groups}
    assert groups == {"test queries": 7, "training queries": 24}


def test_an_unfinished_chain_is_refused(toy_config, tmp_path: Path) -> None:
    rankstill.distill(toy_config(), tmp_path / "w", until="rankings")
    components = components_of(tmp_path / "w")
    with pytest.raises(WorkspaceError, match=r"w: its chain is not finished\. Run `rankstill run`"):
        attribute_workspace(components)
    with pytest.raises(WorkspaceError, match="there is no retriever in it yet"):
        forgetting_of_workspace(components, components.dataset)


def test_forgetting_is_measured_elsewhere(chain_copy: Path, toy_copy: Path) -> None:
    corpus = toy_copy / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("Every ", "Any "))
    components = components_of(chain_copy)
    other = load_dataset(components.config.dataset.model_copy(update={"source": str(toy_copy)}))
    found = forgetting_of_workspace(components, other)
    assert found.table.n == 8
    assert [system.name for system in found.table.systems] == ["retriever before", "distilled retriever"]


def test_the_runs_of_a_chain_are_sliced_by_what_taught(chain: Path, leaky: Path) -> None:
    dataset = load_dataset(read_config(chain / "config.yaml").dataset)
    runs = {name: read_run(chain / "runs" / f"{name}.trec") for name in ("retriever-before", "distilled-retriever")}
    table = slice_runs(runs, dataset, dataset.train, language="english", seed=0, resamples=200)
    counts = {part.name: len(part.queries) for part in table.slices if part.by in ("all", "gold passage")}
    assert counts == {"all queries": 8, "seen as gold in training": 0, "not seen": 8}
