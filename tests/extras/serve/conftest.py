"""A finished workspace and a server of it for the tests of this folder, which import helpers from `loopback`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from loopback import Served

import rankstill
from rankstill.config import Config


@pytest.fixture(scope="session", autouse=True)
def serve_extra() -> None:
    """Skips this folder's tests where the extra `serve` is not installed."""
    pytest.importorskip("fastapi", reason='package fastapi is not installed: pip install "rankstill[serve]"')


@pytest.fixture(scope="session")
def built(toy_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a chain that was run to its end in full precision. Read-only: copy it to change it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("rankstill.compute.precision", "rankstill.training"):
            patch.setattr(f"{module}.fast_precision", lambda device: False)
        config = toy_config({"multi_vector.epochs": 1})
        return rankstill.distill(config, tmp_path_factory.mktemp("served") / "w").workspace


@pytest.fixture
def built_copy(built: Path, tmp_path: Path) -> Path:
    """The finished workspace, to be changed."""
    return shutil.copytree(built, tmp_path / "w")


@pytest.fixture(scope="module")
def server(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a workspace of its own, in full precision so that figures can be compared closely."""
    folder = shutil.copytree(built, tmp_path_factory.mktemp("server") / "w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankstill.compute.precision.fast_precision", lambda device: False)
        with Served(folder) as served:
            yield served
