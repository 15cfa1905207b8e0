"""Export into Qdrant: a server, or a folder that Qdrant's own client keeps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from typing import Any

from rankstill.errors import DataError
from rankstill.extras.export.extras import required
from rankstill.extras.export.vectors import Batch

_NAMESPACE = uuid.UUID("6f0c1a52-8d0e-4f57-9c39-3a1f7f3f8f10")
"""Qdrant takes UUIDs and numbers for ids: a passage's is made from its own id, so that it is the same every time."""


def to_qdrant(batches: Iterable[Batch], collection: str, *, location: str) -> int:
    """Put passages into a collection, which is made if it is not there; payload: `id` and `text`.

    Vectors are compared by the cosine. With token vectors the collection has two named vectors: `vector`, and `tokens`
    for MaxSim of dot products, because a vector of a query is as long as it weighs.

    Args:
        location: a server's URL, or a folder. A server's key is read from QDRANT_API_KEY.

    Raises:
        RankstillError: qdrant-client is not installed.
        DataError: the server cannot be reached or refuses, or the collection holds vectors of another size.
    """
    models, failures = (required(f"qdrant_client.{each}", "qdrant") for each in ("models", "http.exceptions"))
    remote = location.startswith(("http://", "https://"))
    where = {"url": location, "api_key": os.environ.get("QDRANT_API_KEY")} if remote else {"path": location}
    client = required("qdrant_client", "qdrant").QdrantClient(**where)
    sent = 0
    try:
        for batch in batches:
            if not sent:
                _prepare(client, collection, _params(models, batch))
            payloads = [{"id": own, "text": text} for own, text in zip(batch.ids, batch.texts, strict=True)]
            points = models.Batch(
                ids=[qdrant_id(own) for own in batch.ids],
                vectors=_vectors(batch),
                payloads=payloads,
            )
            client.upsert(collection, points=points, wait=True)
            sent += len(batch.ids)
    except (failures.ResponseHandlingException, failures.UnexpectedResponse) as error:
        line = " ".join(str(error).split())
        raise DataError(f"Qdrant: {line}. Check --location {location} and QDRANT_API_KEY.") from error
    finally:
        client.close()
    return sent


def qdrant_id(passage_id: str) -> str:
    """The UUID under which a passage stands in Qdrant."""
    return str(uuid.uuid5(_NAMESPACE, passage_id))


def _vectors(batch: Batch) -> Any:
    single = batch.vectors.tolist()
    return {"vector": single, "tokens": [each.tolist() for each in batch.tokens]} if batch.tokens else single


def _params(models: Any, batch: Batch) -> Any:
    single = models.VectorParams(size=batch.vectors.shape[1], distance=models.Distance.COSINE)
    if not batch.tokens:
        return single
    maxsim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    size = batch.tokens[0].shape[1]
    tokens = models.VectorParams(size=size, distance=models.Distance.DOT, multivector_config=maxsim)
    return {"vector": single, "tokens": tokens}


def _prepare(client: Any, collection: str, wanted: Any) -> None:
    if not client.collection_exists(collection):
        client.create_collection(collection, vectors_config=wanted)
        return
    held = client.get_collection(collection).config.params.vectors
    if _sizes(held) != _sizes(wanted):
        raise DataError(
            f"Qdrant collection {collection}: holds other vectors ({_in_words(held)}, here {_in_words(wanted)}). Name "
            "another collection."
        )


def _sizes(params: Any) -> dict[str, int]:
    """Dimensions by the vector's name; one vector has none."""
    return {name: each.size for name, each in params.items()} if isinstance(params, dict) else {"": params.size}


def _in_words(params: Any) -> str:
    return ", ".join(f"{name} {size} dimensions".strip() for name, size in _sizes(params).items())
