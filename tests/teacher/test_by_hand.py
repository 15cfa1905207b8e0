"""Asking by hand: the same rankings as live, and nothing taken that was not asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm_server import FakeLLM, Messages

from rankstill.config import TeacherConfig
from rankstill.errors import DataError
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.by_hand import export_prompts, import_answers
from rankstill.teacher.teach import Teacher

LISTS = [
    CandidateList(
        f"q{query}", f"Frage {query}: größer?", tuple(f"p{n}" for n in range(6)), tuple(f"weight {n}" for n in weights)
    )
    for query, weights in enumerate(("304152", "012345", "450312"))
]


def by_weight(messages: Messages) -> str:
    shown = re.findall(r"\[(\d+)\] weight (\d)", messages[-1]["content"])
    return " > ".join(f"[{number}]" for number, _ in sorted(shown, key=lambda each: -int(each[1])))


@pytest.fixture
def open_teacher(tmp_path: Path) -> Callable[..., Teacher]:
    def opened(ledger: str = "ledger.sqlite", **settings: Any) -> Teacher:
        # Nobody listens on this endpoint: what needs an answer from it fails.
        config = {"kind": "api", "model": "by hand", "endpoint": "http://127.0.0.1:9/v1", "tries": 1}
        return Teacher(TeacherConfig(**{**config, "ledger": str(tmp_path / ledger), **settings}), "here", seed=0)

    return opened


@pytest.fixture
def teacher(open_teacher: Callable[..., Teacher]) -> Teacher:
    return open_teacher()


def answer_all(path: Path, respond: Callable[[Messages], Any] = by_weight) -> None:
    """Adds an answer to each exported line, as a person would."""
    prompts = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps({**prompt, "answer": respond(prompt["messages"])}) + "\n" for prompt in prompts]
    path.write_text("".join(lines), encoding="utf-8")


def test_sliding_windows_by_hand_give_the_same_rankings_as_live(
    open_teacher: Callable[..., Teacher], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"window": 4, "step": 2, "shuffles": 2}
    with FakeLLM(by_weight) as server, open_teacher("live.sqlite", endpoint=server.url, **settings) as live:
        expected, _ = live.rank(LISTS)
    path = tmp_path / "prompts.jsonl"
    rounds = []
    with open_teacher(**settings) as by_hand:
        while count := export_prompts(by_hand, LISTS, path):
            answer_all(path)
            assert import_answers(by_hand, LISTS, path) == (count, [])
            rounds.append(count)
        found, health = by_hand.rank(LISTS)
    assert rounds == [6, 6]
    assert found == expected
    assert health.spend.tokens_in == health.spend.tokens_out == 0


def test_the_exported_prompt_is_the_one_that_would_be_sent(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    assert export_prompts(teacher, LISTS[:1], path) == 1
    [(_, [call])] = teacher.pending(LISTS[:1])
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"key": call.key, "query_id": "q0", "attempt": 0, "messages": list(call.messages)}
    assert "größer" in text  # for people to read


def test_nothing_is_written_when_nothing_is_missing(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    export_prompts(teacher, LISTS, path)
    answer_all(path)
    import_answers(teacher, LISTS, path)
    assert export_prompts(teacher, LISTS, tmp_path / "again.jsonl") == 0
    assert not (tmp_path / "again.jsonl").exists()


def test_an_answer_that_cannot_be_read_is_asked_for_again(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    export_prompts(teacher, LISTS[:1], path)
    answer_all(path, lambda messages: "the heaviest one, I think")
    assert import_answers(teacher, LISTS[:1], path) == (1, [])
    assert export_prompts(teacher, LISTS[:1], path) == 1
    assert json.loads(path.read_text(encoding="utf-8"))["attempt"] == 1


def test_lists_that_ask_the_same_are_exported_once(teacher: Teacher, tmp_path: Path) -> None:
    twin = CandidateList("twin", LISTS[0].query, LISTS[0].ids, LISTS[0].passages)
    path = tmp_path / "prompts.jsonl"
    assert export_prompts(teacher, [LISTS[0], twin], path) == 1
    answer_all(path)
    assert import_answers(teacher, [LISTS[0], twin], path) == (1, [])
    assert list(teacher.pending([LISTS[0], twin])) == []


def test_lines_left_aside_are_counted_and_named(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    export_prompts(teacher, LISTS, path)
    first, second, third = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    lines = [
        {**first, "answer": by_weight(first["messages"])},
        {**second, "answer": " \n"},
        third,
        {"key": "0" * 64, "answer": "[1] > [2]"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    count, notes = import_answers(teacher, LISTS, path)
    assert count == 1
    assert notes == [
        "answers.jsonl: 1 line (4) answer no prompt that is open now: answered already, or exported with other "
        "settings or data",
        "answers.jsonl: 2 lines (2, 3) have no answer yet",
    ]
    assert teacher.ledger.totals().calls == 1


def test_an_answer_to_another_lists_prompt_is_not_taken(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    export_prompts(teacher, LISTS, path)
    answer_all(path)
    count, notes = import_answers(teacher, LISTS[:1], path)
    assert (count, len(notes)) == (1, 1)
    assert teacher.ledger.totals().calls == 1


def test_a_first_answer_stays(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    export_prompts(teacher, LISTS[:1], path)
    [(_, [call])] = teacher.pending(LISTS[:1])
    answer_all(path)
    import_answers(teacher, LISTS[:1], path)
    answer_all(path, lambda messages: "[6] > [5] > [4] > [3] > [2] > [1]")
    assert import_answers(teacher, LISTS[:1], path)[0] == 0
    kept = teacher.ledger.get(call)
    assert kept is not None
    assert kept.text == by_weight(list(call.messages))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 4: broken JSON"),
        ('{"answer": "[1] > [2]"}', 'line 4: needs "key"'),
        ('{"key": "k", "answer": ["1", "2"]}', 'line 4: "answer" must be a string'),
        ("FIRST", "line 4: answers the same prompt as line 1"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_taken(teacher: Teacher, tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "answers.jsonl"
    export_prompts(teacher, LISTS, path)
    answer_all(path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + line.replace("FIRST", text.split("\n")[0]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        import_answers(teacher, LISTS, path)
    assert teacher.ledger.totals().calls == 0


def test_several_broken_lines_are_told_at_once_and_nothing_is_taken(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    export_prompts(teacher, LISTS, path)
    answer_all(path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + '{\n{"answer": "x"}\n' + text, encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)line 4: broken JSON.*line 5: needs .key.*line 6: answers the same"):
        import_answers(teacher, LISTS, path)
    assert teacher.ledger.totals().calls == 0


def test_a_file_that_cannot_be_written_is_named(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/prompts\.jsonl: cannot be written"):
        export_prompts(teacher, LISTS, tmp_path / "nowhere" / "prompts.jsonl")


def test_a_missing_answers_file_is_named(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"answers\.jsonl: cannot be read"):
        import_answers(teacher, LISTS, tmp_path / "answers.jsonl")
