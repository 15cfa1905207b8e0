"""A Ray of two workers on this machine, started once."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankstill.engine import RayEngine
from rankstill.engine.encoding import Encoder

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the workers find the tests' own work there too


@pytest.fixture(scope="session")
def ray_engine() -> Iterator[RayEngine]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'rankstill[ray]'")
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray

    paths = os.pathsep.join([str(HERE), *(path for path in sys.path if path)])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=100 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "RANKSTILL_TEST_KEY": "a-key"}},
    )
    yield RayEngine(workers=2)
    ray.shutdown()


@pytest.fixture
def encoder(tiny_model_folder: Path, full_precision: None) -> Encoder:
    """The retriever to improve, in this process's full precision."""
    return Encoder(str(tiny_model_folder), device="cpu")
