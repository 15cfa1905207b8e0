"""Options of the data and of the first stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankstill.config.section import Section


class DatasetConfig(Section):
    """The corpus, the queries and the judgements, and which queries may teach."""

    source: str = Field(
        description=(
            "The corpus with its queries: a BEIR folder; ir_datasets:<id>; hf:<repository or local path> in BEIR "
            "layout; a .json or .jsonl file (also .gz) as DPR, FiD, FlagEmbedding or Tevatron write it; or scifact, "
            "stackqa, hotpot or nq-open, which come with the package, or scifact-sample, a small piece of the first."
        )
    )
    train_split: str | None = Field(
        "train",
        description="The qrels split whose queries may teach. null or absent: every query not in the test split.",
    )
    test_split: str | None = Field(
        "test", description="The qrels split that measures. null or absent: nothing is measured."
    )
    test_source: str | None = Field(None, description="The file that measures if source is a DPR-style file.")
    extra_queries: str | None = Field(
        None,
        description=(
            'A file of unlabelled queries for the ranker to label: .txt, one a line, or .jsonl with "text" (also .gz).'
        ),
    )
    test_queries: str | None = Field(
        None,
        description=(
            "A file of unjudged queries, in the form of extra_queries. They measure once `rankstill judge` has had "
            "an LLM judge what is found for them."
        ),
    )
    hold_out: int | None = Field(
        None,
        ge=0,
        description=(
            "How many training queries to keep back for `rankstill judge`, if nothing else measures. null: 100, but "
            "a fifth of them at most, and none if there are fewer than 50."
        ),
    )
    leaks: Literal["drop", "keep"] = Field(
        "drop",
        description=(
            "What to do with training queries that share a relevant passage with a test query: drop them, or keep "
            "them and say so."
        ),
    )
    merge_duplicates: bool = Field(
        False, description="If several records have the same id, keep the first one instead of stopping."
    )
    merge_same_text: bool = Field(
        False,
        description=(
            "If several passages differ only in case and white space, keep only the first. Judgements and rankings "
            "of the others then name it. false: keep all, but search, judge and rank them as one."
        ),
    )


class CandidatesConfig(Section):
    """The first stage: the search that finds candidates for each query before anything is learned."""

    k: int = Field(10, ge=2, description="How many passages of each query the LLM ranks.")
    n: int = Field(30, ge=2, description="How many passages of each LLM-ranked query the ranker labels. At least k.")
    language: str | None = Field(
        "english", description="Language of BM25's Snowball stemmer and stop words. null: neither."
    )
    k1: float = Field(1.2, ge=0, description="BM25's term-frequency saturation.")
    b: float = Field(0.75, ge=0, le=1, description="BM25's length normalisation.")
    rrf_k: float = Field(60.0, gt=0, description="The constant of reciprocal rank fusion.")
    index: str | None = Field(
        None,
        description=(
            'FAISS factory string of an approximate index for candidates and labels, such as "IVF4096,PQ48" (extra '
            "faiss). null: exact search. Evaluation always searches exactly."
        ),
    )
    least_recall: float = Field(
        0.95,
        gt=0,
        le=1,
        description=(
            "The recall that the index must reach against exact search, at depth 100 and on your own queries. Below "
            "it, search is exact."
        ),
    )
