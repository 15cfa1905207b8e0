"""The command line: parse, call, print."""

from rankstill.cli import chain, proof, result, teach
from rankstill.cli.app import app, main

__all__ = ["app", "chain", "main", "proof", "result", "teach"]
