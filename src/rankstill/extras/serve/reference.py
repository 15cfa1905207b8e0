"""The API as a page for people, made from the OpenAPI document. It loads nothing from elsewhere and runs no script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

EXAMPLES = {
    "/search": '{"query": "how long may I keep it", "k": 3}',
    "/rerank": '{"query": "how long may I keep it", "documents": ["Send it back within 30 days.", "Parcels go out."]}',
    "/v1/embeddings": '{"model": "any", "input": ["Send it back within 30 days."]}',
    "/votes": '{"query": "how long may I keep it", "better": "after"}',
    "/marks": '{"query": "how long may I keep it", "passage_id": "p1", "grade": 1}',
}
"""A body for each path that takes one."""
_SAME_AS = {"/embed": "/v1/embeddings"}


@dataclass(frozen=True)
class Field:
    """One field of a body: its name, what it may be, and what it means."""

    name: str
    kind: str
    about: str


@dataclass(frozen=True)
class ApiPath:
    """One path: how it is called, what it takes and what it gives."""

    method: str
    path: str
    about: str
    takes: tuple[Field, ...]
    gives: tuple[Field, ...]
    example: str | None


def reference_page(document: Mapping[str, Any], address: str) -> str:
    """The page, as HTML."""
    environment = Environment(
        loader=PackageLoader("rankstill.extras.serve", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("reference.html.jinja")
    return template.render(about=document["info"]["description"], address=address, paths=list(_paths(document)))


def _paths(document: Mapping[str, Any]) -> Iterator[ApiPath]:
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = _schema(operation.get("requestBody", {}), schemas)
            answer = _schema(operation["responses"]["200"], schemas)
            yield ApiPath(
                method.upper(),
                path,
                operation["description"],
                tuple(_fields(body, schemas, taken=True)),
                tuple(_fields(answer, schemas, taken=False)),
                EXAMPLES.get(_SAME_AS.get(path, path)),
            )


def _schema(part: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a request's or a response's JSON body."""
    schema: Mapping[str, Any] = part.get("content", {}).get("application/json", {}).get("schema", {})
    return _resolved(schema, schemas)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    named: Mapping[str, Any] = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return named


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, taken: bool) -> Iterator[Field]:
    """The fields of a body. Only a request's fields are marked as required: a response always has all of its own."""
    for name, field in schema.get("properties", {}).items():
        kind = _kind(field, schemas)
        if taken:
            needed = name in schema.get("required", ())
            kind += ", required" if needed else f", default {json.dumps(field.get('default'))}"
        yield Field(name, kind, field.get("description", ""))


def _kind(field: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "$ref" in field:
        named = _resolved(field, schemas)
        return f"object ({', '.join(named.get('properties', {}))})"
    if "anyOf" in field:
        return " or ".join(_kind(each, schemas) for each in field["anyOf"])
    if "enum" in field:
        return " or ".join(map(json.dumps, field["enum"]))
    if "const" in field:
        return json.dumps(field["const"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], schemas)}"
    plain = {"string": "text", "boolean": "true or false", "object": "object"}
    kind = str(field.get("type", "anything"))
    return plain.get(kind, kind)
