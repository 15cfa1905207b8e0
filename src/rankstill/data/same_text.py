"""When two texts say the same: their spelling brought to one form."""

from __future__ import annotations

import re
import unicodedata

# The soft hyphen, and white space without a width: nobody sees them, and `str.split` does not know them.
_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]")


def folded(text: str) -> str:
    """The text without what does not change its meaning: case, white space, and how Unicode composes a character.

    Compatible characters become one (NFKC), as PDF extraction mixes them: the ligature U+FB01 and "fi".
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold())
        return " ".join(text.split())
    return " ".join(text.lower().split())
