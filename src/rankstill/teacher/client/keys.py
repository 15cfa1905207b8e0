"""The API key: from the environment alone, checked before the first call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.client.redaction import without_secrets
from rankstill.teacher.client.transport import is_loopback

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig


def read_key(config: TeacherConfig, endpoint: str) -> str | None:
    """The API key for an endpoint; None where none is needed, or where litellm is to find it.

    Args:
        config: says which environment variable holds the key, and whether litellm, which finds keys itself, is asked.
        endpoint: base URL; for litellm, empty for the one it knows.

    Raises:
        TeacherError: the endpoint is no URL, or its key is missing or cannot be sent.
    """
    by_litellm, api_key_env = config.kind == "litellm", config.key_name()
    if not (_is_url(endpoint) or (by_litellm and not endpoint)):
        raise TeacherError(
            f'endpoint "{without_secrets(endpoint)}": not a URL. Give one like https://api.openai.com/v1.'
        )
    where = endpoint or "litellm"
    if api_key_env is None:
        if by_litellm or is_loopback(endpoint):
            return None
        raise TeacherError(f"{where}: no API key. Name the environment variable that holds it: teacher.api_key_env.")
    key = os.environ.get(api_key_env, "").strip() or None
    if key is None and not is_loopback(endpoint):
        raise TeacherError(
            f"{where}: no API key in the environment variable {api_key_env}. Set it: export {api_key_env}=... (any "
            "word, if this endpoint needs no key)."
        )
    if key is not None and not (key.isascii() and key.isprintable()):
        raise TeacherError(
            f"{where}: the key in {api_key_env} contains characters that are not allowed in a header. Copy it again."
        )
    return key


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # looked at only when it is asked for
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
