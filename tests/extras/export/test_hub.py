"""Pushing to the Hub, by its own client, to a stand-in on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import StandIn, hub_stand_in
from safetensors.numpy import save_file

from rankstill.errors import ModelError, RankstillError
from rankstill.extras.export import push, standalone

TOKEN = "hf_" + "x" * 34
PUSH = """
import sys
from pathlib import Path
from rankstill.extras.export import push
print(push(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.fixture
def hub() -> Iterator[StandIn]:
    with hub_stand_in() as running:
        yield running


@pytest.fixture
def retriever(tmp_path: Path) -> Path:
    """A folder as the chain saves one, with an export's files beside."""
    folder = tmp_path / "retriever"
    (folder / "0_Transformer").mkdir(parents=True)
    (folder / "modules.json").write_text("[]")
    (folder / "README.md").write_text("---\nlibrary_name: sentence-transformers\n---\n# A retriever\n")
    save_file({"weight": np.zeros((2, 2), np.float32)}, folder / "0_Transformer" / "model.safetensors")
    (folder / "model.xml").write_text("<net/>")
    (folder / "model.bin").write_bytes(b"raw weights")
    shutil.copyfile(standalone.__file__, folder / "retriever.py")
    return folder


def pushed(folder: Path, hub: StandIn, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": hub.address, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", PUSH, str(folder), "me/retriever"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_file_arrives_in_a_private_repository_in_one_commit(retriever: Path, hub: StandIn) -> None:
    done = pushed(retriever, hub)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.address}/me/retriever/commit/{'1' * 40}"
    sent = {str(path.relative_to(retriever)): path.read_bytes() for path in retriever.rglob("*") if path.is_file()}
    assert hub.files == sent
    assert [(made["name"], made["organization"], made["visibility"]) for made in hub.made] == [
        ("retriever", "me", "private")
    ]
    assert sum(call.endswith("/commit/main") for call in hub.calls) == 1
    assert hub.tokens >= {f"Bearer {TOKEN}"}


def test_a_refusal_is_said_in_a_line_without_the_token(retriever: Path, hub: StandIn) -> None:
    hub.refuses = True
    done = pushed(retriever, hub)
    assert "RankstillError: me/retriever: the Hub refused it (" in done.stderr
    assert TOKEN not in done.stderr + done.stdout
    assert not hub.files


def test_a_hub_that_cannot_be_reached_is_said_in_a_line(retriever: Path) -> None:
    done = pushed(retriever, StandIn(address="http://127.0.0.1:1"))  # nothing listens there
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("rankstill.errors.RankstillError: me/retriever: the Hub refused it (")
    )
    assert "Check the name, HF_TOKEN's permissions, the network and HF_HUB_OFFLINE." in done.stderr


def test_no_token_no_call(retriever: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(RankstillError, match="export HF_TOKEN"):
        push(retriever, "me/retriever")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "x.pkl", "0_Transformer/model.pt", "evil.py", "retriever.py", ".env"]
)
def test_what_could_run_or_leak_is_not_pushed(name: str, retriever: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (retriever / name).write_bytes(b"import os")
    with pytest.raises(ModelError, match="only safetensors weights are pushed"):
        push(retriever, "me/retriever")


def test_a_folder_without_a_retriever_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no modules\.json or retriever\.json in it"):
        push(tmp_path, "me/retriever")
