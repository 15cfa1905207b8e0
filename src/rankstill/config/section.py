"""What every section of the configuration is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Options that belong together; none but these, and they do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
