"""Proof without labels: an LLM grades what each system found, and every measure is computed by its grades.

The idea is that of UMBRELA (Upadhyay et al. 2024, https://arxiv.org/abs/2406.06519): an LLM in the assessor's place.
"""

from rankstill.judge.commands import check_judge, export_prompts, import_answers, judge, quote, run_and_judge
from rankstill.judge.offer import offer

__all__ = ["check_judge", "export_prompts", "import_answers", "judge", "offer", "quote", "run_and_judge"]
