"""How a list of candidates is asked about: which calls it takes, and what their answers make of it.

A list's state is nothing but what the ledger holds: its strategies are replayed from the answers that are there, until
one is missing. So asking goes on where it stopped, and an answer may come from anywhere: a live endpoint, a provider's
batch, a person.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from rankstill.teacher.calls import Answer, Ask, Call, Reading
from rankstill.teacher.client.endpoint import named
from rankstill.teacher.consistency import agreement, borda
from rankstill.teacher.prompts import count_tokens, render_ask, response_schema
from rankstill.teacher.rankings import Ranking
from rankstill.teacher.reading.answer import read_answer
from rankstill.teacher.strategies import Order, Strategy, listwise, pairwise, setwise, shuffles
from rankstill.teacher.template import load_template

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.data import Corpus


Lookup = Callable[[Call], Answer | None]

_WARMER = 0.7
"""Temperature, at least, when an unreadable answer is asked for again: at 0 the same one would come back."""

_SHORTEST = 8
"""Tokens of a passage that is cut because its prompt is too long, at least."""


@dataclass(frozen=True)
class CandidateList:
    """A query and its candidates, for the LLM to rank.

    Args:
        ids: the ids of the candidates, in the first stage's order.
    """

    query_id: str
    query: str
    ids: tuple[str, ...]
    passages: tuple[str, ...]

    @classmethod
    def at(cls, positions: Iterable[int], corpus: Corpus, query_id: str, query: str) -> CandidateList:
        """The passages at these positions of the corpus, in this order."""
        numbers = [int(position) for position in positions]
        return cls(query_id, query, tuple(corpus.ids[each] for each in numbers), tuple(corpus.texts(numbers)))


@dataclass(frozen=True)
class RankedAnswer:
    """The LLM's ranking of a list, as far as its answers could be read.

    Args:
        order: of its candidates, over all shuffles.
        shuffles: for each, the candidates in the order shown, and what the LLM made of them.
        readings: of every answer that counted.
        agreement: between shuffles, mean Kendall's tau; None for one shuffle.
    """

    of: CandidateList
    order: Order
    shuffles: tuple[tuple[tuple[int, ...], Order], ...]
    readings: tuple[Reading, ...] = field(repr=False)
    agreement: float | None

    @property
    def decided(self) -> bool:
        """Whether the LLM ranked anything."""
        return self.order.own > 0

    def ranking(self, teacher: str, prompt: str) -> Ranking | None:
        """What the ranker learns from it: the LLM's own positions alone; None if it decided nothing."""
        own = self.order.order[: self.order.own]
        if not own:
            return None
        return Ranking(
            query_id=self.of.query_id,
            candidates=self.of.ids,
            ranking=tuple(self.of.ids[number] for number in own),
            teacher=teacher,
            status=self.order.status,
            agreement=self.agreement,
            prompt=prompt,
        )


class ListAnswer(Protocol):
    """The result for one list, when nothing more is asked about it."""

    @property
    def decided(self) -> bool:
        """Whether its answers say anything."""


S = TypeVar("S", bound=ListAnswer)


class Inquiry(ABC, Generic[S]):
    """Turns lists into calls, and answers into what they say. It has no state but what the ledger holds.

    Args:
        template: name or path of the prompt template.
        orders: in how many orders each list is shown.
        seed: draws the orders.

    Raises:
        RankstillError: no LLM is named, a local model cannot be found, or the template cannot be used.
    """

    doing: str
    """What the progress line calls the work."""
    wanted: str
    """How a useful answer is described, after "an answer that"."""

    def __init__(self, config: TeacherConfig, template: str, orders: int, seed: int) -> None:
        self._config = config
        self._endpoint, self.model = named(config)
        self.template = load_template(template)
        self._orders = orders
        self._seed = seed

    @abstractmethod
    def advance(self, listed: CandidateList, lookup: Lookup) -> S | tuple[Call, ...]:
        """What came of the list, or the calls that must be answered before it can go on."""

    @abstractmethod
    def expected(self, listed: CandidateList, lookup: Lookup, mean: float | None = None) -> list[tuple[Call, int]]:
        """The calls without an answer that the list is expected to take, and how many tokens each answer may have.

        Args:
            mean: tokens of this model's answers so far; None if there are none.
        """

    @abstractmethod
    def explain_no_answer(self, last: S) -> str:
        """Why no list got an answer that says anything, and what to do; `last` is what came of the last one."""

    def call(
        self, messages: tuple[dict[str, str], ...], attempt: int = 0, ask: Ask | None = None, **further: Any
    ) -> Call:
        """A call to this LLM.

        Args:
            further: parameters of the request beside the configured ones; None is left out.
        """
        config = self._config
        temperature = max(config.temperature, _WARMER) if attempt else config.temperature
        ours = {"temperature": temperature, "max_tokens": config.answer_tokens, **further, **config.parameters}
        parameters = {name: value for name, value in ours.items() if value is not None}
        return Call(self._endpoint, self.model, messages, parameters, attempt, ask)

    def shorter(self, listed: CandidateList, call: Call) -> Call | None:
        """The same question with its passages cut to half; None where that cuts nothing."""
        assert call.ask is not None
        longest = max(count_tokens(listed.passages[number]) for number in call.ask.shown)
        half = min(self._config.passage_tokens, longest) // 2
        short = self._call(call.ask, listed, call.attempt, max(half, _SHORTEST))
        return None if short.messages == call.messages else short

    def _shuffles(self, listed: CandidateList) -> list[tuple[int, ...]]:
        return shuffles(len(listed.ids), self._orders, f"{self._seed}\n{listed.query_id}")

    def _call(self, ask: Ask, listed: CandidateList, attempt: int = 0, passage_tokens: int | None = None) -> Call:
        config = self._config
        messages = render_ask(
            self.template,
            listed.query,
            [listed.passages[number] for number in ask.shown],
            config.labels,
            passage_tokens or config.passage_tokens,
            structured=config.structured,
        )
        schema = response_schema(ask.kind, len(ask.shown), config.labels) if config.structured else None
        return self.call(messages, attempt, ask, response_format=schema)


class Asker(Inquiry[RankedAnswer]):
    """Turns lists into calls, and answers into rankings."""

    doing, wanted = "asking the teacher", "ranks anything"

    def __init__(self, config: TeacherConfig, seed: int) -> None:
        super().__init__(config, config.template or f"{config.strategy}-v1", config.shuffles, seed)

    def advance(self, listed: CandidateList, lookup: Lookup) -> RankedAnswer | tuple[Call, ...]:
        """The list's ranking, or the calls that must be answered before it can go on."""
        missing: list[Call] = []
        done: list[tuple[tuple[int, ...], Order]] = []
        readings: list[Reading] = []

        def read(ask: Ask) -> Reading | Call:
            return self._read(ask, listed, lookup)

        for shown in self._shuffles(listed):
            reached = _replay(self._strategy(shown), read, readings)
            if isinstance(reached, Order):
                done.append((shown, reached))
            else:
                missing += reached
        if missing:
            return tuple(missing)
        orders = [order for _, order in done]
        order = orders[0] if len(orders) == 1 else borda(orders)
        return RankedAnswer(listed, order, tuple(done), tuple(readings), agreement(orders))

    def expected(self, listed: CandidateList, lookup: Lookup, mean: float | None = None) -> list[tuple[Call, int]]:
        """As `Inquiry.expected`: every answer can be read and repeats the order shown."""
        calls: list[tuple[Call, int]] = []

        def read(ask: Ask) -> Reading:
            named = len(ask.shown) if ask.kind == "listwise" else 1
            call = self._call(ask, listed)
            if lookup(call) is None:
                calls.append((call, round(mean or 4 * named)))
            return Reading("exact", tuple(range(named)))

        for shown in self._shuffles(listed):
            _replay(self._strategy(shown), read, [])
        return calls

    def explain_no_answer(self, last: RankedAnswer) -> str:
        """As `Inquiry.explain_no_answer`."""
        if any(reading.order for reading in last.readings):
            return (
                "it ranks differently when the passages are shown in another order, as `rankstill check-teacher` "
                "measures; ask another model"
            )
        if any(reading.cut for reading in last.readings):
            return "they are cut off at teacher.answer_tokens: raise it (a reasoning model needs thousands)"
        return "`rankstill ledger` names the ledger that holds them; a small model may need teacher.strategy: setwise"

    def _strategy(self, shown: tuple[int, ...]) -> Strategy:
        config = self._config
        if config.strategy == "pairwise":
            return pairwise(shown)
        if config.strategy == "setwise":
            return setwise(shown, config.set_size, config.top)
        return listwise(shown, config.window, config.step)

    def _read(self, ask: Ask, listed: CandidateList, lookup: Lookup) -> Reading | Call:
        """What the LLM said, after as many attempts as allowed to get something readable; or the call to make next."""
        reading = Reading("unreadable")
        for attempt in range(1 + self._config.ask_again):
            call = self._call(ask, listed, attempt)
            answer = lookup(call)
            if answer is None:
                return call
            reading = read_answer(answer.text, len(ask.shown), ask.kind, self._config.labels)
            if reading.order:
                return reading
            if answer.finish == "content_filter":
                reading = Reading("refused")
            reading = replace(reading, cut=answer.finish == "length")
        return reading


def _replay(strategy: Strategy, read: Callable[[Ask], Reading | Call], counted: list[Reading]) -> Order | list[Call]:
    """A strategy's order, or the calls that it waits for; the readings that it was sent are added to `counted`."""
    try:
        asks = next(strategy)
        while True:
            found = [read(ask) for ask in asks]
            missing = [each for each in found if isinstance(each, Call)]
            if missing:
                return missing
            readings = [each for each in found if isinstance(each, Reading)]
            counted += readings
            asks = strategy.send(readings)
    except StopIteration as end:
        order: Order = end.value
        return order
