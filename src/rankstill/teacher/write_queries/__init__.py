"""Training queries that an LLM writes: from which sentences, by which prompt, and which of them are kept."""
