"""RAG question answering: a frozen reader LLM answers from what each system finds, and its answers are scored."""

from rankstill.rag.answering import answer_questions
from rankstill.rag.choices import ChoiceQuestion, read_choice_questions
from rankstill.rag.study import answered_queries, choice_table, rag_table
from rankstill.rag.table import RagSettings, RagTable

__all__ = [
    "ChoiceQuestion",
    "RagSettings",
    "RagTable",
    "answer_questions",
    "answered_queries",
    "choice_table",
    "rag_table",
    "read_choice_questions",
]
