"""Vectors in the shape of OpenAI's API, as numbers or packed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal

from rankstill.extras.serve.schemas import Embedding, EmbeddingsResponse, Usage
from rankstill.extras.serve.service import EmbeddedText


def embeddings_response(
    embedded: Sequence[EmbeddedText], encoding: Literal["float", "base64"], model: str
) -> EmbeddingsResponse:
    """The response to an embeddings request; base64 packs little-endian float32, as OpenAI's client unpacks it."""
    tokens = sum(each.tokens for each in embedded)
    return EmbeddingsResponse(
        data=[Embedding(index=index, embedding=_as_json(each, encoding)) for index, each in enumerate(embedded)],
        model=model,
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _as_json(embedded: EmbeddedText, encoding: Literal["float", "base64"]) -> list[float] | str:
    vector = embedded.vector.astype("<f4")
    return base64.b64encode(vector.tobytes()).decode("ascii") if encoding == "base64" else vector.tolist()
