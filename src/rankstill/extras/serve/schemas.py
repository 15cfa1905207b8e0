"""What the API takes and gives; the OpenAPI document is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from rankstill.extras.serve.systems import SYSTEMS, SystemName

LONGEST_QUERY = 2_000
LONGEST_TEXT = 20_000
MOST_TEXTS = 256
MOST_DOCUMENTS = 100
MOST_PASSAGES = 100

QueryText = Annotated[
    str, Field(min_length=1, max_length=LONGEST_QUERY, pattern=r"\S", description="What the user typed.")
]
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


def _whole(value: Any) -> Any:
    """JSON does not tell 10 from 10.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Depth = Annotated[int, Field(ge=1, le=MOST_PASSAGES), BeforeValidator(_whole)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SearchRequest(_Request):
    """A query for some of the systems that the workspace has."""

    query: QueryText
    k: Depth = Field(10, description="Passages of each system.")
    systems: list[SystemName] = Field(
        ["before", "after"],
        min_length=1,
        max_length=len(SYSTEMS),
        description="The systems that search. Each counts at most once. "
        + "; ".join(f"{name}: {system.what}" for name, system in SYSTEMS.items())
        + ". /about lists the systems of the workspace.",
    )


class Passage(BaseModel):
    """A passage in one system's list."""

    id: str
    title: str
    text: str = Field(description="The body, cut if it is very long.")
    cut: bool
    score: float = Field(description="Higher is better. The list's `scores` says what it is.")
    relevant: bool = Field(description="Judged relevant in the dataset, or contains an accepted answer.")
    mark: int | None = Field(description="What was marked on the page: 1 relevant, 0 not relevant.")
    ranks: dict[str, int | None] = Field(
        description="Its rank in each system's list, from 1. null if it is not in the first 100."
    )


class SystemResult(BaseModel):
    """One system's list, best first."""

    system: SystemName
    scores: str = Field(description="What the scores are, such as a cosine. Compare them only within one list.")
    milliseconds: float = Field(description="Encoding the query and searching, without waiting for other requests.")
    passages: list[Passage]


class Gold(BaseModel):
    """A passage that the dataset judges relevant to the query."""

    id: str
    title: str
    ranks: dict[str, int | None]


class SearchResponse(BaseModel):
    """What each system finds."""

    query: str
    query_id: str | None = Field(description="The query's id, if the dataset has this query.")
    gold: list[Gold] = Field(description="The first 20 relevant passages, if the dataset judges this query.")
    vote: Literal["before", "after", "same"] | None = Field(description="What was voted for this query.")
    results: list[SystemResult]


class RerankRequest(_Request):
    """Passages to order for a query: the shape that rerank endpoints share."""

    model_config = ConfigDict(extra="ignore", strict=True)

    query: QueryText
    documents: list[Text] = Field(
        min_length=1, max_length=MOST_DOCUMENTS, description="Their texts: title, a space, body."
    )
    top_n: Count | None = Field(None, description="How many to return; null for all.")


class RerankResult(BaseModel):
    """One passage of the reranked list."""

    index: int = Field(description="Its position among the documents given, from 0.")
    relevance_score: float = Field(description="Log-odds.")


class RerankResponse(BaseModel):
    """Best first."""

    model: str
    results: list[RerankResult]


class EmbeddingsRequest(BaseModel):
    """OpenAI's embeddings request; fields of it that are not named here are ignored."""

    model_config = ConfigDict(strict=True)

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)] = Field(
        description="A text or a list of texts. Token arrays are refused, because their tokens belong to another model."
    )
    model: str | None = Field(None, max_length=200, description="Any name: this server has one model.")
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: little-endian float32.")
    dimensions: Count | None = Field(
        None, description="The vectors' own number (see /about) or null. Shorter vectors are refused, not cut."
    )
    input_type: Literal["query", "document"] = Field(
        "document", description="An extension: this retriever reads queries and documents differently."
    )

    @field_validator("input", mode="before")
    @classmethod
    def _no_tokens(cls, value: Any) -> Any:
        if isinstance(value, list) and any(isinstance(each, (int, list)) for each in value):
            raise ValueError(
                "token arrays are not taken, for tokens are another model's words; send texts "
                "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))"
            )
        return value


class Embedding(BaseModel):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """OpenAI's embeddings response."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A model that is served."""

    id: str = Field(description="The workspace's name.")
    object: Literal["model"] = "model"
    created: int = Field(description="When it was made, in seconds since 1970.")
    owned_by: Literal["rankstill"] = "rankstill"


class Models(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[Model]


class VoteRequest(_Request):
    """Which of the two lists is better for a query."""

    query: QueryText
    better: Literal["before", "after", "same"]
    k: Depth = Field(10, description="How many passages of each list were shown.")
    blind: bool = Field(False, description="Whether the voter did not know which list was which.")


class MarkRequest(_Request):
    """Whether a passage is relevant to a query."""

    query: QueryText
    passage_id: str = Field(min_length=1, max_length=1_000)
    grade: Literal[0, 1] | None = Field(description="1 relevant, 0 not relevant, null removes a mark.")


class Mark(BaseModel):
    """A mark that was kept."""

    passage_id: str
    grade: int | None


class Counts(BaseModel):
    """For how many queries each list was voted better."""

    before: int
    after: int
    same: int


class Example(BaseModel):
    """A query to try."""

    id: str
    text: str


class Offered(BaseModel):
    """A system that the workspace has."""

    name: SystemName = Field(description="The name for the field `systems` of a search.")
    title: str
    what: str
    scores: str = Field(description="What its scores are.")


class About(BaseModel):
    """What is served."""

    workspace: str
    dataset: str
    model: str = Field(description="The retriever that was improved.")
    passages: int
    dimensions: int = Field(description="Number of dimensions of the new retriever.")
    ranker: bool = Field(description="Whether there is a ranker. Some baselines have none.")
    systems: list[Offered] = Field(description="The systems that a search can use.")
    votes: Counts
    examples: list[Example] = Field(description="Queries to try. Test queries that changed most come first.")


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok"] = "ok"
    workspace: str
    waiting: int = Field(description="Texts that wait to be encoded or scored.")
    changed: bool = Field(description="A run has replaced what is served. Restart the server to serve the new one.")


class Problem(BaseModel):
    """What is wrong, in OpenAI's shape."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None = None
    code: str | None = None


class ProblemResponse(BaseModel):
    """Any error."""

    error: Problem
