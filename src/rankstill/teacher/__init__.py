"""The teacher: the black box whose rankings the chain learns from."""

from rankstill.teacher.rankings import Ranking, read_rankings, write_rankings

__all__ = ["Ranking", "read_rankings", "write_rankings"]
