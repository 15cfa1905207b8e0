"""The base class of every section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Options that belong together. Unknown options are refused, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
