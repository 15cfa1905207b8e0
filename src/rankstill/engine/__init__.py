"""Heavy steps shard by shard, on a Ray cluster."""

from __future__ import annotations

from rankstill.engine.on_ray import RayEngine
from rankstill.engine.shards import EngineError, Function, ShardFolder, Task, shard_name

__all__ = ["EngineError", "Function", "RayEngine", "ShardFolder", "Task", "shard_name"]
