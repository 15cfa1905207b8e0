"""RAG question answering: a frozen reader LLM answers from what each system finds, and its answers are scored."""
