"""Heavy steps shard by shard, on a Ray cluster."""

from __future__ import annotations

from rankstill.engine.on_ray import RayEngine
from rankstill.engine.shards import ShardFolder, shard_name
from rankstill.engine.work import Engine, EngineError, Function, Task

__all__ = ["Engine", "EngineError", "Function", "RayEngine", "ShardFolder", "Task", "shard_name"]
