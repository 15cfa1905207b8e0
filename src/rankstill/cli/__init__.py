"""The command line: parse, call, print. Other packages add their commands as plug-ins, the extras among them."""

from importlib.metadata import entry_points

from rankstill.cli import chain, judge, result, teach
from rankstill.cli.app import app, main

__all__ = ["app", "chain", "judge", "main", "result", "teach"]

for _plug_in in entry_points(group="rankstill.commands"):
    _plug_in.load()
