"""RAG question answering: a frozen reader LLM answers from what each system finds, and its answers are scored."""

from rankstill.extras.rag.answering import answer_questions
from rankstill.extras.rag.choices import ChoiceQuestion, read_choice_questions
from rankstill.extras.rag.study import answered_queries, choice_table, rag_table
from rankstill.extras.rag.table import RagSettings, RagTable

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
