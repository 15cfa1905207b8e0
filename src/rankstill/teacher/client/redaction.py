"""Keys and passwords taken out of text that is kept or shown."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"""
    (?<=://)[^/\s@]+(?=@)                                                   # user:password in an address
    | ( (?:api[-_ ]?key|authorization|access[-_]?token|[?&]key)             # a name that says so, and what follows it
        (?:\s+provided)? ["']? \s*[:=]\s* ["']? (?:(?:Bearer|Basic)\s+)? )
      [^\s"',;&}]+
    | (?<=\bBearer\s)[\w.~+/=-]{8,}
    | \bsk-[\w-]{8,}                                                        # OpenAI, Anthropic, OpenRouter
    | \b(?:gsk|hf)_[A-Za-z0-9]{16,}                                         # Groq, Hugging Face
    | \bxai-[A-Za-z0-9]{16,}
    | \bAIza[\w-]{16,}                                                      # Google
    """,
    re.IGNORECASE | re.VERBOSE,
)


def without_secrets(text: str) -> str:
    """The text with whatever looks like a key or a password taken out; JSON stays JSON."""
    return _SECRET.sub(r"\1[removed]", text)
