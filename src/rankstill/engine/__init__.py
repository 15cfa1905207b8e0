"""Heavy steps part by part, on a Ray cluster."""

from __future__ import annotations

from rankstill.engine.on_ray import RayEngine
from rankstill.engine.parts import PartFolder, part_name
from rankstill.engine.work import Engine, EngineError, Function, Work

__all__ = ["Engine", "EngineError", "Function", "PartFolder", "RayEngine", "Work", "part_name"]
