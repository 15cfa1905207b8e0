"""The API's paths."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fastapi import APIRouter

from rankstill.data import Dataset, Query
from rankstill.evaluation.answers import has_answer
from rankstill.extras.serve import schemas
from rankstill.extras.serve.problems import problem
from rankstill.extras.serve.service import EmbeddedText, Service, SystemHits
from rankstill.extras.serve.systems import SYSTEMS, SystemName
from rankstill.extras.serve.votes import Votes
from rankstill.retrieval.dense import Embeddings

_EXAMPLES = 200
_OTHER_DIMENSIONS = (
    "dimensions: this retriever's vectors have {0:,}, and this server offers no other number. Leave `dimensions` "
    "out. `rankstill export --dimensions` makes a retriever of shorter vectors, and measures it."
)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ProblemResponse, "description": description}
    for status, description in {
        400: "Not readable",
        403: "From a page of another origin",
        404: "Not here: a passage that the corpus lacks, or a system that the workspace lacks",
        408: "The body did not arrive in time",
        413: "Too large",
        415: "Not JSON",
        421: "Another host name",
        422: "Not what this path takes",
        500: "Something went wrong in the server",
        503: "Busy: try again after the seconds that Retry-After says",
    }.items()
}
_MOST_GOLD = 20


def routes(service: Service, votes: Votes) -> APIRouter:
    """All paths but the page's."""
    router = APIRouter(responses=_PROBLEMS)
    _add_search(router, service, votes)
    _add_models(router, service)
    _add_votes(router, service, votes)
    _add_state(router, service, votes)
    return router


def _add_search(router: APIRouter, service: Service, votes: Votes) -> None:
    @router.post("/search")
    async def search(request: schemas.SearchRequest) -> schemas.SearchResponse:
        """Search by each of these systems, best passages first."""
        found = await service.search(request.query, list(dict.fromkeys(request.systems)))
        return _search_response(request.query, found, request.k, service.opened.dataset, votes)


def _add_models(router: APIRouter, service: Service) -> None:
    opened = service.opened
    served = schemas.Model(id=opened.name, created=int(opened.workspace.path("retriever").stat().st_mtime))

    async def embed(request: schemas.EmbeddingsRequest) -> Any:
        """Vectors by the new retriever, in the shape of OpenAI's API."""
        dimensions = opened.after.passages.shape[1]
        if request.dimensions not in (None, dimensions):
            return problem(422, _OTHER_DIMENSIONS.format(dimensions), "dimensions")
        texts = [request.input] if isinstance(request.input, str) else request.input
        embedded = await service.embed(texts, request.input_type)
        return _embeddings_response(embedded, request.encoding_format, opened.name)

    for path in ("/v1/embeddings", "/embed"):
        operation = path.strip("/").replace("/", "_")
        router.post(path, operation_id=operation, response_model=schemas.EmbeddingsResponse)(embed)

    @router.get("/v1/models")
    async def models() -> schemas.Models:
        """The one model that is served, in the shape of OpenAI's API."""
        return schemas.Models(data=[served])

    @router.get("/v1/models/{model}", response_model=schemas.Model)
    async def model(model: str) -> Any:
        """The same by its name."""
        if model != served.id:
            return problem(404, f"The one model here is {served.id}.", "model")
        return served

    @router.post("/rerank")
    async def rerank(request: schemas.RerankRequest) -> schemas.RerankResponse:
        """Order passages for a query by the ranker, in the shape that rerank endpoints share."""
        ranked = await service.rerank(request.query, request.documents)
        results = [
            schemas.RerankResult(index=each.position, relevance_score=each.score) for each in ranked[: request.top_n]
        ]
        return schemas.RerankResponse(model=service.opened.name, results=results)


def _add_votes(router: APIRouter, service: Service, votes: Votes) -> None:
    corpus = service.opened.dataset.corpus

    @router.post("/votes")
    async def vote(request: schemas.VoteRequest) -> schemas.Counts:
        """Say which list is better for a query; a later vote on it replaces an earlier one."""
        found = await service.search(request.query, ["before", "after"])
        lists = {system: [corpus.ids[at] for at in each.positions[: request.k]] for system, each in found.items()}
        await asyncio.to_thread(votes.vote, request.query, request.better, lists, blind=request.blind)
        return schemas.Counts(**votes.counts())

    @router.post("/marks", response_model=schemas.Mark)
    async def mark(request: schemas.MarkRequest) -> Any:
        """Mark a passage as relevant to a query or not; a later mark replaces an earlier one."""
        if request.passage_id not in corpus:
            return problem(404, "The corpus has no passage of that id.", "passage_id")
        await asyncio.to_thread(votes.mark, request.query, request.passage_id, request.grade)
        return schemas.Mark(passage_id=request.passage_id, grade=request.grade)


def _add_state(router: APIRouter, service: Service, votes: Votes) -> None:
    opened = service.opened
    examples = _examples(opened.dataset, service.measured.most_changed())

    @router.get("/health")
    async def health() -> schemas.Health:
        """Whether the server works, and whether what it serves is still what the workspace holds."""
        changed = await asyncio.to_thread(opened.changed_since)
        return schemas.Health(workspace=opened.name, waiting=service.waiting, changed=changed)

    @router.get("/about")
    async def about() -> schemas.About:
        """What is served, and queries to try."""
        return schemas.About(
            workspace=opened.name,
            dataset=opened.dataset.name,
            model=opened.config.retriever.model,
            passages=len(opened.dataset.corpus),
            dimensions=opened.after.passages.shape[1],
            ranker=opened.has_ranker,
            systems=[
                schemas.Offered(name=name, title=each.title, what=each.what, scores=each.scores)
                for name, each in service.offered.items()
            ],
            votes=schemas.Counts(**votes.counts()),
            examples=examples,
        )


def _embeddings_response(
    embedded: Sequence[EmbeddedText], encoding: Literal["float", "base64"], model: str
) -> schemas.EmbeddingsResponse:
    tokens = sum(count for _, count in embedded)
    return schemas.EmbeddingsResponse(
        data=[
            schemas.Embedding(index=index, embedding=_as_json(each, encoding))
            for index, (each, _) in enumerate(embedded)
        ],
        model=model,
        usage=schemas.Usage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _as_json(vector: Embeddings, encoding: Literal["float", "base64"]) -> list[float] | str:
    """base64 packs little-endian float32, as OpenAI's client unpacks it."""
    vector = vector.astype("<f4")
    return base64.b64encode(vector.tobytes()).decode("ascii") if encoding == "base64" else vector.tolist()


def _search_response(
    text: str, found: Mapping[SystemName, SystemHits], k: int, dataset: Dataset, votes: Votes
) -> schemas.SearchResponse:
    query = votes.query(text)
    ranks = {system: {at: rank for rank, at in enumerate(each.positions, start=1)} for system, each in found.items()}
    marks = votes.marks(text)
    grades = dataset.qrels.get(query.id, {})

    def ranks_of(position: int) -> dict[str, int | None]:
        return {system: each.get(position) for system, each in ranks.items()}

    def passage(position: int, score: float) -> schemas.Passage:
        corpus = dataset.corpus
        passage_id, body = corpus.ids[position], corpus.bodies[position]
        return schemas.Passage(
            id=passage_id,
            title=corpus.titles[position],
            text=body[: schemas.LONGEST_TEXT],
            cut=len(body) > schemas.LONGEST_TEXT,
            score=score,
            relevant=_relevant(query, passage_id, body, grades),
            mark=marks.get(passage_id),
            ranks=ranks_of(position),
        )

    results = [
        schemas.SystemResult(
            system=system,
            scores=SYSTEMS[system].scores,
            milliseconds=round(each.milliseconds, 1),
            passages=[passage(*pair) for pair in list(zip(each.positions, each.scores, strict=True))[:k]],
        )
        for system, each in found.items()
    ]
    return schemas.SearchResponse(
        query=text,
        query_id=query.id if query.id in dataset.queries else None,
        gold=[
            schemas.Gold(id=passage_id, title=dataset.corpus.titles[position], ranks=ranks_of(position))
            for passage_id, position in _gold(grades, dataset)
        ],
        vote=votes.better(text),
        results=results,
    )


def _examples(dataset: Dataset, changed: Sequence[str]) -> list[schemas.Example]:
    """Queries to try: those that changed most; without any, queries from all over the dataset."""
    known = [query_id for query_id in changed if query_id in dataset.queries]
    if not known:
        ids = dataset.test or dataset.train
        known = list(ids[:: max(1, len(ids) // _EXAMPLES)])
    return [schemas.Example(id=query_id, text=dataset.queries[query_id].text) for query_id in known[:_EXAMPLES]]


def _relevant(query: Query, passage_id: str, body: str, grades: Mapping[str, int]) -> bool:
    if grades:
        return grades.get(passage_id, 0) > 0
    return bool(query.answers) and has_answer(query.answers, body)


def _gold(grades: Mapping[str, int], dataset: Dataset) -> list[tuple[str, int]]:
    relevant = [each for each, grade in grades.items() if grade > 0 and each in dataset.corpus]
    return [(each, dataset.corpus.position(each)) for each in relevant[:_MOST_GOLD]]
