"""`rankstill run --dry-run`: what a run will take, before anything is made or paid."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm_server import FakeLLM
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

import rankstill
from rankstill.config import Config, write_config
from rankstill.errors import ModelError
from rankstill.forecast import expected_seconds, forecast
from rankstill.pipeline import open_chain
from rankstill.teacher.commands import at_work

MakeConfig = Callable[..., Config]


def test_a_dry_run_makes_no_step_and_names_time_memory_and_disk(
    command: Callable[..., Any], toy_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(write_config(toy_config()))
    said = command("run", tmp_path / "config.yaml", "-w", tmp_path / "w", "--dry-run")
    assert said.code == 0, said.errors
    for told in ("time", "memory", "disk"):
        assert re.search(rf"^{told}.* \d", said.output, re.M)
    assert not (tmp_path / "w" / "manifest.json").exists()
    assert "expected: " not in said.output  # recorded rankings are paid


def test_a_dry_run_quotes_the_llm_as_the_candidates_themselves_would_be_and_asks_nothing(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    with FakeLLM(lambda messages: "") as server:
        asking: dict[str, Any] = {"kind": "api", "model": "fake", "endpoint": server.url, "queries": 20}
        asking |= {"ledger": str(tmp_path / "ledger.sqlite"), "prices": {"fake": {"input": 1.0, "output": 2.0}}}
        config = toy_config({f"teacher.{name}": value for name, value in asking.items()})
        with open_chain(config, tmp_path / "w") as chain:
            drawn = forecast(chain)
        with at_work(config, tmp_path / "w") as (teacher, lists):
            found = teacher.quoted(lists)
        assert server.answered.total() == 0
    (told,) = (line for line in drawn if line.startswith("expected: "))
    counts, of_candidates = (
        [float(number) for number in re.findall(r"[\d.]+", line.replace(",", ""))] for line in (told, found[0])
    )
    assert counts[0] == of_candidates[0] == 20
    assert counts == pytest.approx(of_candidates, rel=0.15)


def test_a_finished_workspace_says_that_its_steps_are_there(toy_config: MakeConfig, tmp_path: Path) -> None:
    rankstill.distill(toy_config(), tmp_path / "w")
    with open_chain(toy_config(), tmp_path / "w") as chain:
        assert any("holds 14 steps already" in line for line in forecast(chain))


def test_a_table_of_static_vectors_is_refused_before_anything_is_made(
    toy_config: MakeConfig, tiny_model: SentenceTransformer, tmp_path: Path
) -> None:
    tokens = tiny_model.tokenizer.backend_tokenizer
    weights = tiny_model[0].auto_model.embeddings.word_embeddings.weight.detach().numpy()
    static = SentenceTransformer(modules=[StaticEmbedding(tokens, embedding_weights=weights)], device="cpu")
    static.save_pretrained(str(tmp_path / "static"))
    config = toy_config({"retriever.model": str(tmp_path / "static"), "ranker.cross_encoder": False})
    with open_chain(config, tmp_path / "w") as chain:
        assert forecast(chain)  # its tokenizer is of another kind, and it knows no longest text
    with pytest.raises(ModelError, match="static is a table of static vectors, which cannot be trained here"):
        rankstill.distill(config, tmp_path / "w")
    assert not (tmp_path / "w" / "manifest.json").exists()


def test_more_dimensions_than_the_encoder_has_are_refused_before_anything_is_made(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"multi_vector\.dimensions is 40, but the retriever's vectors have 32"):
        rankstill.distill(toy_config({"multi_vector.dimensions": 40}), tmp_path / "w")
    assert not (tmp_path / "w" / "manifest.json").exists()


def test_more_work_is_expected_to_take_longer(
    toy_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.forecast._seconds_a_passage", lambda parts: 1.0)

    def seconds(**changes: Any) -> dict[str, float]:
        with open_chain(toy_config(changes), tmp_path / "w") as chain:
            return expected_seconds(chain.components, chain.planned())

    once = seconds()
    assert once["vectors"] == pytest.approx(60, abs=5)  # passages, at one a second
    assert once["token_index"] > once["vectors"]
    assert seconds(**{"retriever.epochs": 40})["retriever"] > 20 * once["retriever"]
    trained = seconds(**{"multi_vector.epochs": 20})
    assert trained["multi_vector_distilled"] > 10 * once["token_index"]
