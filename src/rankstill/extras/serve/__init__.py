"""A run's systems at work: a page that shows before and after side by side, or others, and a small HTTP API.

Needs the extra `serve` (FastAPI and uvicorn).
"""
