"""Heavy steps shard by shard, on a Ray cluster."""

from __future__ import annotations

from rankstill.extras.ray.on_ray import RayEngine
from rankstill.extras.ray.shards import EngineError, Function, ShardFolder, Task, shard_name

__all__ = ["EngineError", "Function", "RayEngine", "ShardFolder", "Task", "shard_name"]
