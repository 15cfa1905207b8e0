"""Options of the engine: where encoding, candidates and labelling run."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from rankstill.config.section import Section


class EngineConfig(Section):
    """Where encoding, candidates and labelling run: in this process, or on a Ray cluster."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a password

    kind: Literal["local", "ray"] = Field("local", description="local: this process. ray: a cluster (extra `ray`).")
    address: str | None = Field(
        None,
        description=(
            "Address of the Ray cluster. auto: the cluster that this machine belongs to. null: a cluster of this "
            "machine only."
        ),
    )
    store: str | None = Field(
        None,
        description=(
            "Where workers read and write: a folder that all machines see, or object storage, such as "
            "s3://bucket/folder. null: .parts in the workspace."
        ),
    )
    workers: int | None = Field(
        None, ge=1, description="How many workers at most. null: as many as the cluster has room for."
    )
    cpus: float = Field(1.0, gt=0, description="Cores per worker.")
    gpus: float = Field(0.0, ge=0, description="GPUs per worker. With a fraction, several workers share one GPU.")

    @field_validator("store")
    @classmethod
    def _holds_no_password(cls, store: str | None) -> str | None:
        if re.search(r"://[^/@]*:[^/@]*@", store or ""):
            raise ValueError(
                "an address with a password in it, which would be stored. Take it out: object storage finds its "
                "credentials in the environment of each machine"
            )
        return store
