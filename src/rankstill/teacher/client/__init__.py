"""How a call reaches an LLM: the endpoint, its key, requests, retries, limits, and a local server in its place."""
