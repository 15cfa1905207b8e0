"""Heavy steps shard by shard, on a Ray cluster."""

from __future__ import annotations

from rankstill.extras.ray.on_ray import RayEngine
from rankstill.extras.ray.shards import ShardFolder, shard_name
from rankstill.extras.ray.work import Engine, EngineError, Function, Task

__all__ = ["Engine", "EngineError", "Function", "RayEngine", "ShardFolder", "Task", "shard_name"]
