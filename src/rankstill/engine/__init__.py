"""Where work runs: in this process, or on a Ray cluster; and training over several processes."""

from __future__ import annotations

from rankstill.engine.local import LocalEngine
from rankstill.engine.on_ray import RayEngine
from rankstill.engine.parts import PartFolder, part_name
from rankstill.engine.work import Engine, EngineError, Function, Work

__all__ = ["Engine", "EngineError", "Function", "LocalEngine", "PartFolder", "RayEngine", "Work", "part_name"]
