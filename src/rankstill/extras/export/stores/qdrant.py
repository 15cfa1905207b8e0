"""Export into Qdrant: a server, or a folder that Qdrant's own client keeps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rankstill.errors import DataError
from rankstill.extras.export.vectors import Batch
from rankstill.packages import required

_UNNAMED = ""
"""Qdrant's own name of a collection's only dense vector."""
_NAMESPACE = uuid.UUID("6f0c1a52-8d0e-4f57-9c39-3a1f7f3f8f10")
"""Qdrant takes UUIDs and numbers for ids: a passage's is made from its own id, so that it is the same every time."""


def to_qdrant(batches: Iterable[Batch], collection: str, *, location: str) -> int:
    """Put passages into a collection, which is made if it is not there; payload: `id` and `text`.

    Vectors are compared by the cosine. With token vectors they are named `vector`, and those of tokens `tokens`: for
    MaxSim of dot products, because a vector of a query is as long as it weighs. The sparse vector `terms` has the
    modifier `idf`, so that its dot product is BM25.

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
                idf = models.SparseVectorParams(modifier=models.Modifier.IDF)
                _prepare(client, collection, _params(models, batch), {"terms": idf} if batch.terms else {})
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
    vectors: dict[str, Any] = {"vector" if batch.tokens else _UNNAMED: batch.vectors.tolist()}
    if batch.tokens:
        vectors["tokens"] = [each.tolist() for each in batch.tokens]
    if batch.terms:
        vectors["terms"] = [asdict(each) for each in batch.terms]
    return vectors


def _params(models: Any, batch: Batch) -> Any:
    single = models.VectorParams(size=batch.vectors.shape[1], distance=models.Distance.COSINE)
    if not batch.tokens:
        return single
    maxsim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    size = batch.tokens[0].shape[1]
    tokens = models.VectorParams(size=size, distance=models.Distance.DOT, multivector_config=maxsim)
    return {"vector": single, "tokens": tokens}


def _prepare(client: Any, collection: str, wanted: Any, sparse: dict[str, Any]) -> None:
    if not client.collection_exists(collection):
        client.create_collection(collection, vectors_config=wanted, sparse_vectors_config=sparse)
        return
    params = client.get_collection(collection).config.params
    held, here = _in_words(params.vectors, params.sparse_vectors or {}), _in_words(wanted, sparse)
    if held != here:
        raise DataError(
            f"Qdrant collection {collection}: holds other vectors ({held}; here {here}). Name another collection."
        )


def _in_words(params: Any, sparse: dict[str, Any]) -> str:
    """Dimensions by the vector's name; one vector has none."""
    named = params if isinstance(params, dict) else {_UNNAMED: params}
    dense = [f"{name} {each.size} dimensions".strip() for name, each in sorted(named.items())]
    return ", ".join([*dense, *(f"{name} sparse" for name in sorted(sparse))])
