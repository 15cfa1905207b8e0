"""Export into Qdrant: a server, or a folder that Qdrant's own client keeps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from typing import Any

from rankstill.errors import DataError
from rankstill.extras.export.extras import required
from rankstill.extras.export.vectors import Batch, TokenBatch

_NAMESPACE = uuid.UUID("6f0c1a52-8d0e-4f57-9c39-3a1f7f3f8f10")
"""Qdrant takes UUIDs and numbers for ids: a passage's is made from its own id, so that it is the same every time."""


def to_qdrant(batches: Iterable[Batch] | Iterable[TokenBatch], collection: str, *, location: str) -> int:
    """Put passages into a collection, which is made if it is not there; payload: `id` and `text`.

    It is made for cosines; for token vectors, for MaxSim of dot products: a vector of a query is as long as it weighs.

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
                vectors=[each.tolist() for each in batch.vectors],
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


def _params(models: Any, batch: Batch | TokenBatch) -> Any:
    size = batch.vectors[0].shape[-1]
    if isinstance(batch, Batch):
        return models.VectorParams(size=size, distance=models.Distance.COSINE)
    maxsim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return models.VectorParams(size=size, distance=models.Distance.DOT, multivector_config=maxsim)


def _prepare(client: Any, collection: str, wanted: Any) -> None:
    if not client.collection_exists(collection):
        client.create_collection(collection, vectors_config=wanted)
        return
    held = client.get_collection(collection).config.params.vectors
    kind = [(getattr(each, "size", None), getattr(each, "multivector_config", None)) for each in (held, wanted)]
    if kind[0] != kind[1]:
        raise DataError(
            f"Qdrant collection {collection}: holds other vectors ({getattr(held, 'size', 'named ones')}, here "
            f"{wanted.size} dimensions). Name another collection."
        )
