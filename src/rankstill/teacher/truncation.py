"""Prompts that a server cuts at its context without a word: their token counts stand at one ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.prompts import count_tokens

CUT = "the server cut the prompt: the LLM did not see all of it"
"""Why such an answer is withdrawn."""
_ENOUGH = 5
"""Prompts at the ceiling. That as many whole prompts, counted to a few hundred tokens each, agree so is no chance."""
_SHARE = 0.8
"""The share of short-counted prompts that must be at the ceiling: a server may count what it had cached less."""
_WITHIN = 2
"""Tokens by which counts at one ceiling differ, at most."""
_SHORT, _FAR_BELOW = 1.25, 1.5
"""How far above its count a prompt's estimate is for it to be counted short; and of one of them, to believe it."""
_LEAST_CONTEXT = 256
"""Tokens: a count that stands below it is made up, for no LLM is served with less."""
_REMEMBERED = 1_000


@dataclass(frozen=True)
class _Counted:
    """A prompt whose count is below its estimate.

    Args:
        words: a hash of its words in any order: shuffles of one list rightly have one count.
    """

    key: str
    words: int
    estimate: int
    count: int


class TruncationWatch:
    """Compares the prompt tokens that an endpoint counts with an estimate of them.

    An estimate may be wrong by half for a language that it does not know. Then counts rise and fall with it; those of
    prompts that are cut all stand at the length that the server cuts them to.
    """

    def __init__(self) -> None:
        self._short: list[_Counted] = []
        self._found: list[_Counted] = []
        self._highest = 0

    def saw(self, key: str, sent: Call, answer: Answer) -> list[str]:
        """Keys of the answers that are now known to be to cut prompts: none, as long as nothing is certain."""
        if not answer.counted or answer.tokens_in < _LEAST_CONTEXT:
            return []
        self._highest = max(self._highest, answer.tokens_in)
        texts = [message["content"] for message in sent.messages]
        estimate = sum(map(count_tokens, texts))
        if estimate < _SHORT * answer.tokens_in:
            return []
        words = hash(tuple(sorted(" ".join(texts).split())))
        seen = _Counted(key, words, estimate, answer.tokens_in)
        if self._found:
            return [key] if abs(seen.count - self._found[0].count) <= _WITHIN else []
        self._short = [*self._short[-_REMEMBERED:], seen]
        if at_ceiling := self._at_ceiling():
            self._found = at_ceiling
        return [each.key for each in at_ceiling]

    def _at_ceiling(self) -> list[_Counted]:
        """The prompts counted short, if they stand at one ceiling."""
        standing = [each for each in self._short if each.count >= self._highest - _WITHIN]
        enough = len({each.words for each in standing}) >= _ENOUGH and len(standing) >= _SHARE * len(self._short)
        far_below = any(each.estimate >= _FAR_BELOW * each.count for each in standing)
        return standing if enough and far_below else []

    def error(self) -> TeacherError:
        """What was found, once something is."""
        ceiling = max(each.count for each in self._found)
        estimates = sorted(each.estimate for each in self._found)
        return TeacherError(
            f"the endpoint counts {ceiling:,} tokens of each long prompt, though the prompts have about "
            f"{estimates[0]:,} to {estimates[-1]:,}: it cuts them, and the LLM does not see all passages. Such "
            "answers are not used. Give the server a longer context (Ollama: "
            "OLLAMA_CONTEXT_LENGTH=16384 ollama serve), or lower teacher.passage_tokens or teacher.window, and run the "
            "same command again."
        )
