"""Lets the tests of this folder import the teacher tests' helpers, as `from llm_server import FakeLLM`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "teacher"))
