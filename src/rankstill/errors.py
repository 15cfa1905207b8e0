"""Errors that a user can fix. Each message says what was wrong, where, and what to do."""

from __future__ import annotations


class RankstillError(Exception):
    """A mistake that the user can fix. The command line prints its message without a traceback."""


class DataError(RankstillError):
    """A dataset, qrels or rankings file that cannot be used as it is."""


class ModelError(RankstillError):
    """A model that cannot be found, is damaged, or does not fit its use."""


class WorkspaceError(RankstillError):
    """A workspace that belongs to another version, is in use, or cannot be written."""
