"""The README's Python examples run, word for word, on a dataset of the user's own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_python_examples_run_one_after_another(
    toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(examples) == 2
    (tmp_path / "mine.yaml").write_text(
        f"""
dataset: {{source: "{toy_dataset_folder}"}}
candidates: {{k: 5, n: 5}}
ranker: {{model: "{tiny_model_folder}"}}
retriever: {{model: "{tiny_model_folder}"}}
""",
        encoding="utf-8",
    )
    (tmp_path / "example.py").write_text("\n".join(examples) + "\nprint(best[0].score >= best[1].score)\n", "utf-8")
    ran = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "The distilled retriever is " in ran.stdout
    assert ran.stdout.rstrip().endswith("True")
