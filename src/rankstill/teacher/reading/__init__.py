"""How an LLM's answer is read: what in it is surely a ranking."""
