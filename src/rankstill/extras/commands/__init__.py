"""The commands of the extras: each module is a plug-in of the command line, named in pyproject.toml."""
