"""How a query's passages are graded: which calls it takes, and what their answers say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rankstill.teacher.asking import CandidateList, Inquiry, Lookup
from rankstill.teacher.black_box import BlackBox
from rankstill.teacher.calls import Answer, Ask, Call
from rankstill.teacher.prompts import as_shown, count_tokens, prompt_budget
from rankstill.teacher.reading.plain import plain

if TYPE_CHECKING:
    from rankstill.config import Config, TeacherConfig


HIGHEST = 3
# "[3]: 2", "- [3]: 2", "Passage [3] = 2". Nothing may follow the grade: "[3]: 2 or 3" is none.
_GRADE = re.compile(r"(?:- )?(?:(?i:passage) )?\[ ?([0-9]{1,4}) ?\] ?[:=-] ?([0-9]{1,2})\.?")
_SAYS_NOTHING = re.compile(r"[^0-9\[\]]{0,200}")
"""A line without a digit or a bracket, such as a greeting, grades nothing."""
TEMPLATE = "judge-v1"
_GRADE_TOKENS = 6
"""The tokens of a line such as "[12]: 3", with its end."""


def read_grades(text: str, shown: int) -> tuple[int, ...] | None:
    """The grades in an answer, in the order in which the passages were shown.

    Every line grades one passage, or has no digit and no bracket in it. Each passage shown has one grade, from 0 to 3,
    and no other has one. Anything else is not read: not half of an answer, and no number in prose.

    Args:
        text: the answer, as it came. Reasoning and markup are taken off.
        shown: how many passages were shown, labelled from 1.

    Returns:
        The grades, or None if the answer cannot be read. [shown]
    """
    grades: dict[int, int] = {}
    for line in filter(None, plain(text).split("\n")):
        match = _GRADE.fullmatch(line)
        if match is None:
            if _SAYS_NOTHING.fullmatch(line):
                continue
            return None
        number, grade = int(match[1]), int(match[2])
        if number in grades or grade > HIGHEST:
            return None
        grades[number] = grade
    if grades.keys() != set(range(1, shown + 1)):
        return None
    return tuple(grades[number] for number in range(1, shown + 1))


@dataclass(frozen=True)
class GradedAnswer:
    """A query's passages, graded as well as the LLM could.

    Args:
        places: for each order in which they were shown, passage id -> place in its prompt, from 0.
        grades: for each order, passage id -> grade, 0 to 3; without those whose answer could not be read.
        cut: answers that could not be read and had reached the longest answer allowed.
    """

    of: CandidateList
    places: tuple[dict[str, int], ...]
    grades: tuple[dict[str, int], ...]
    cut: int

    @property
    def decided(self) -> bool:
        """Whether any passage got a grade."""
        return any(self.grades)

    @property
    def prompts(self) -> int:
        """How many prompts it took, over all orders."""
        return sum(place == 0 for each in self.places for place in each.values())

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of passages without a grade in the first order."""
        return tuple(each for each in self.of.ids if each not in self.grades[0])


class Grader(Inquiry[GradedAnswer]):
    """Turns a query's passages into calls, and answers into grades.

    All passages stand in one prompt, or in as many as it takes to fit the LLM's context, of about equal length.

    Args:
        template: name or path of the prompt template; None for ours.
        orders: in how many orders each query's passages are shown: as given, then the other way round, then others by
            the seed.

    Raises:
        RankstillError: no LLM is named, a local model cannot be found, or the template cannot be used.
    """

    doing, wanted = "asking the judge", "grades anything"

    def __init__(self, config: TeacherConfig, template: str | None, orders: int, seed: int) -> None:
        # A grade's line begins with a number, whatever rankings look like.
        config = config.model_copy(update={"labels": "numbers", "structured": False})
        super().__init__(config, template or TEMPLATE, orders, seed)
        self._known: dict[tuple[str, tuple[str, ...], tuple[int, ...]], list[Ask]] = {}

    def advance(self, listed: CandidateList, lookup: Lookup) -> GradedAnswer | tuple[Call, ...]:
        """As `Inquiry.advance`."""
        missing: list[Call] = []
        grades: list[dict[str, int]] = []
        places: list[dict[str, int]] = []
        cut = 0
        for shown in self._shuffles(listed):
            grades.append({})
            places.append({})
            for ask in self._asks(listed, shown):
                ids = [listed.ids[each] for each in ask.shown]
                places[-1].update({each: place for place, each in enumerate(ids)})
                read = self._read(ask, listed, lookup)
                if isinstance(read, Call):
                    missing.append(read)
                elif isinstance(read, tuple):
                    grades[-1].update(zip(ids, read, strict=True))
                else:
                    cut += read.finish == "length"
        return tuple(missing) or GradedAnswer(listed, tuple(places), tuple(grades), cut)

    def expected(self, listed: CandidateList, lookup: Lookup, mean: float | None = None) -> list[tuple[Call, int]]:
        """As `Inquiry.expected`: every answer can be read."""
        asks = [ask for shown in self._shuffles(listed) for ask in self._asks(listed, shown)]
        calls = ((self._call(ask, listed), len(ask.shown)) for ask in asks)
        # The model's mean is of rankings too, whose answers are shorter.
        return [(call, max(round(mean or 0), _GRADE_TOKENS * shown)) for call, shown in calls if lookup(call) is None]

    def explain_no_answer(self, last: GradedAnswer) -> str:
        """As `Inquiry.explain_no_answer`."""
        if last.cut:
            return "they are cut off at judge.answer_tokens: raise it (a reasoning model needs thousands)"
        return "`rankstill ledger` names the ledger that holds them; ask a larger model (judge.model)"

    def _asks(self, listed: CandidateList, shown: tuple[int, ...]) -> list[Ask]:
        """What each prompt shows."""
        key = (listed.query_id, listed.ids, shown)
        if key not in self._known:
            self._known[key] = self._split(listed, shown)
        return self._known[key]

    def _split(self, listed: CandidateList, shown: tuple[int, ...]) -> list[Ask]:
        limit = self._config.passage_tokens
        lengths = [count_tokens(as_shown(listed.passages[number], limit)) + _GRADE_TOKENS for number in shown]
        alone = self._call(Ask("grades", shown[:1]), listed).messages
        frame = sum(count_tokens(message["content"]) for message in alone) - lengths[0]
        room = prompt_budget(self._config.context, self._config.answer_tokens) - frame
        most = max(1, self._config.answer_tokens // _GRADE_TOKENS)
        for parts in range(1, len(shown) + 1):
            ends = [len(shown) * part // parts for part in range(parts + 1)]
            pieces = list(pairwise(ends))
            if all(end - start <= most and sum(lengths[start:end]) <= room for start, end in pieces):
                break
        return [Ask("grades", shown[start:end]) for start, end in pieces]

    def _read(self, ask: Ask, listed: CandidateList, lookup: Lookup) -> tuple[int, ...] | Answer | Call:
        """The grades; or the answer to the last attempt, if none can be read; or the call to make next."""
        for attempt in range(1 + self._config.ask_again):
            call = self._call(ask, listed, attempt)
            answer = lookup(call)
            if answer is None:
                return call
            grades = read_grades(answer.text, len(ask.shown))
            if grades is not None:
                return grades
        assert answer is not None
        return answer


class Judge(BlackBox[GradedAnswer]):
    """The LLM that judges, with the ledger and the limits of the teacher.

    Args:
        paid_by: on whose account calls are noted, and whose limits they count towards.

    Raises:
        RankstillError: no LLM is named; or the ledger, the template or a local model cannot be used, or a limit not be
            kept.
    """

    asker: Grader

    def __init__(self, config: Config, paid_by: str, orders: int = 1) -> None:
        llm = config.judge.llm(config.teacher)
        super().__init__(llm, Grader(llm, config.judge.template, orders, config.seed), paid_by)
