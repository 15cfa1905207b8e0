"""A small retriever that reads queries and passages differently, and the same exported in every form."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rankstill.errors import RankstillError

sys.path.insert(0, str(Path(__file__).parent))  # for `from hub_server import StandIn`

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import Config
    from rankstill.data import Dataset


@pytest.fixture(scope="session")
def headed_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bi-encoder with prompts and a layer of its own on top for queries and for passages, saved."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Router

    from rankstill.models import load_bi_encoder, save_model

    encoder = load_bi_encoder(str(tiny_model_folder), "cpu")
    torch.manual_seed(3)
    ways = ([*encoder, Dense(32, 24, activation_function=torch.nn.Identity()), Normalize()] for _ in range(2))
    prompts = {"query": "how does ", "document": "the "}
    both = Router.for_query_document(*ways, default_route="document")
    folder = tmp_path_factory.mktemp("headed") / "retriever"
    save_model(SentenceTransformer(modules=[both], device="cpu", prompts=prompts), folder)
    return folder


@pytest.fixture
def headed(headed_folder: Path) -> SentenceTransformer:
    """The same, loaded anew for each test."""
    from rankstill.models import load_bi_encoder

    return load_bi_encoder(str(headed_folder), "cpu")


def _can_be_written(variant: str) -> bool:
    from rankstill.extras.export.variants import check_variants

    try:
        check_variants([variant])
    except RankstillError:
        return False
    return True


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's home while `exported` is made."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def exported(headed_folder: Path, toy_dataset: Dataset, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It in every form that can be written here, large tables in 8 bits as a large model's would be. Read-only."""
    from rankstill.extras.export.variants import write_variants
    from rankstill.models import load_bi_encoder

    variants = [name for name in ("onnx", "onnx-int8", "openvino", "openvino-int8") if _can_be_written(name)]
    if not variants:
        pytest.skip('needs pip install "rankstill[export]"')
    folder = tmp_path_factory.mktemp("exported")
    calibration = {
        "document": toy_dataset.corpus.texts(range(12)),
        "query": toy_dataset.texts_of(toy_dataset.train[:6]),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankstill.extras.export.graph._LARGE_TABLE", 100)
        patch.setenv("HOME", str(home))
        model = load_bi_encoder(str(headed_folder), "cpu")
        write_variants(model, folder, variants, calibration)
    return folder


@pytest.fixture(scope="session")
def finished(toy_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """A chain of seconds, run to its end, and its workspace. Tests write into its `export/` alone."""
    import rankstill

    config = toy_config()
    folder = tmp_path_factory.mktemp("finished") / "w"
    rankstill.distill(config, folder)
    return config, folder
