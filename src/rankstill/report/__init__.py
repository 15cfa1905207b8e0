"""The report: one self-contained page on a workspace, and one on several beside each other."""

from rankstill.report.comparing import compare_workspaces
from rankstill.report.writing import write_report

__all__ = ["compare_workspaces", "write_report"]
