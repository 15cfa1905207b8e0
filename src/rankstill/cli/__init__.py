"""The command line: parse, call, print."""

from rankstill.cli import chain, judge, proof, result, teach
from rankstill.cli.app import app, main

__all__ = ["app", "chain", "judge", "main", "proof", "result", "teach"]
