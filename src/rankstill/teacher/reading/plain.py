"""An answer without its dressing: reasoning, markup and typography taken off, so that one small grammar can read it."""

from __future__ import annotations

import re
import unicodedata

REASONING_TAG = r"(?:think|thinking|thought|reason|reasoning|reflection|scratchpad|analysis)"
_REASONING = re.compile(rf"<(/?){REASONING_TAG}>", re.I)
# Tags and commands that mark the answer become the label that the grammar knows.
_ANSWER_OPEN = re.compile(r"<(?:final_?)?(?:answer|output|response|ranking|result)>|\\boxed\{", re.I)
_ANSWER_CLOSE = re.compile(r"</(?:final_?)?(?:answer|output|response|ranking|result)>", re.I)
_LINE_TAG = re.compile(r"</?(?:br|p|li|ol|ul|div|pre|tr)\b[^<>\n]{0,99}>", re.I)
_INLINE_TAG = re.compile(r"</?(?:b|i|u|strong|em|code|span|sup|sub|td)\b[^<>\n]{0,99}>", re.I)
_GREATER = re.compile(r"&gt;|&#62;|&#x3e;|\\(?:succ|gt|rightarrow|to)(?![a-z])|[-=~]{0,3}>{1,3}=?", re.I)
_LESS = re.compile(r"&lt;|&#60;|&#x3c;|\\(?:prec|lt|leftarrow)(?![a-z])", re.I)
_FENCE = re.compile(r"^ ?```[\w-]{0,20} ?$", re.M)
_HEADING = re.compile(r"^ ?#{1,6} ", re.M)
_MARKUP = re.compile(r"[*`$\\]|__|~~")
_SPACES = re.compile(r"  +")
_LINE_ENDS = re.compile(r" ?\n[ \n]*")

_SAME = {
    **dict.fromkeys("→⟶➔➜➝➞➤⮕⇒⟹⇨▶►▸›»≻≽⪰≥⩾〉》", ">"),
    **dict.fromkeys("←⟵⇐⟸‹«≺≼⪯≤⩽〈《", "<"),
    **dict.fromkeys("【〔〖「『⟦", "["),
    **dict.fromkeys("】〕〗」』⟧", "]"),
    **dict.fromkeys("、،؛", ","),
    **dict.fromkeys("•‣●▪◦·–—−‐‑‒", "-"),
    **dict.fromkeys("‘’ʼ", "'"),
    **dict.fromkeys("“”„‟", '"'),
    **dict.fromkeys("\v\f\u0085\u2028\u2029", "\n"),
    **dict.fromkeys("。।", "."),
    "≈": "=",
    "\t": " ",
    "\n": "\n",
}


def plain(text: str) -> str:
    """The text of an answer with its reasoning gone, its markup off and its characters plain.

    Digits of all scripts become ASCII digits, all arrows and "greater" signs become ">"; between words stands one
    space, between lines one line feed. Takes linear time.
    """
    text = without_reasoning(text)
    text = _ANSWER_CLOSE.sub("\n", _ANSWER_OPEN.sub("\nAnswer: ", text))
    text = _INLINE_TAG.sub("", _LINE_TAG.sub("\n", text))
    text = _FENCE.sub("", _LESS.sub("<", _GREATER.sub(">", plain_characters(text))))
    text = _HEADING.sub("", _MARKUP.sub("", text))
    return _LINE_ENDS.sub("\n", _SPACES.sub(" ", text)).strip()


def plain_characters(text: str) -> str:
    """The text with the typography of all scripts made ASCII, its markup left as it is."""
    return text.translate({ord(each): _plain_character(each) for each in set(text)})


def without_reasoning(text: str) -> str:
    """The text without its reasoning; of reasoning that was never closed nothing remains."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept: list[str] = []
    end, inside = 0, False
    for tag in _REASONING.finditer(text):
        closes = bool(tag[1])
        if closes and not inside:
            # Many chat templates open the reasoning themselves, so that the answer holds the closing tag only.
            kept.clear()
        elif not closes and not inside:
            kept.append(text[end : tag.start()])
        end, inside = tag.end(), not closes
    if not inside:
        kept.append(text[end:])
    return "\n".join(kept)


def _plain_character(character: str) -> str:
    if character in _SAME:
        return _SAME[character]
    category = unicodedata.category(character)
    if category in ("Cc", "Cf"):
        return ""
    if category == "Zs":
        return " "
    # Character by character: normalising a whole text takes quadratic time on a long run of combining marks.
    folded = unicodedata.normalize("NFKC", character)
    if unicodedata.decomposition(character).startswith("<circle>") and folded.isascii():
        return f"[{folded}]"
    if folded.isascii():
        return folded
    digit = unicodedata.digit(character, None)
    return character if digit is None else str(digit)
