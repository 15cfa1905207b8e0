"""A configuration as it may be shown: reports go around, and model cards are published."""

from __future__ import annotations

from rankstill.config.sections import Config

_ASKED = {"endpoint": None, "api_key_env": None, "ledger": None}
_RUN = {"address": None, "store": None}


def public(config: Config) -> Config:
    """The experiment without where its LLMs were reached and paid, and on which machines it ran."""
    reader = config.rag.reader
    return config.model_copy(
        update={
            "teacher": config.teacher.model_copy(update=_ASKED),
            "rag": config.rag.model_copy(update={"reader": reader and reader.model_copy(update=_ASKED)}),
            "engine": config.engine.model_copy(update=_RUN),
        }
    )
