"""Replies with a good status that hold a fault in place of an answer: tried again, never kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.failures import BadReplyError
from rankstill.teacher.ledger import Ledger
from rankstill.teacher.transport import answer_in

CALL = Call("http://llm/v1", "fake", ({"role": "user", "content": "rank these"},), {})
FAULTS = {
    "an error and no text": {"message": {"content": None}, "finish_reason": "error"},
    "an error after some text": {"message": {"content": "[2] > [1]"}, "finish_reason": "error"},
    "an error in the choice": {
        "message": {"content": "[2] > [1]"},
        "finish_reason": "stop",
        "error": {"message": "upstream overloaded", "code": 502},
    },
    "no content, and stop": {"message": {"content": None}, "finish_reason": "stop"},
    "white space, and stop": {"message": {"content": " \n"}, "finish_reason": "stop"},
    "nothing, and no reason": {"message": {"content": ""}},
}


@pytest.mark.parametrize("choice", FAULTS.values(), ids=list(FAULTS))
def test_a_fault_with_a_good_status_is_a_failed_try_and_no_answer(choice: dict[str, Any]) -> None:
    with pytest.raises(BadReplyError):
        answer_in({"choices": [choice]}, CALL, 0.1)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_empty_text_for_a_reason_is_an_answer(finish: str) -> None:
    answer = answer_in({"choices": [{"message": {"content": None}, "finish_reason": finish}]}, CALL, 0.1)
    assert (answer.text, answer.finish) == ("", finish)


@pytest.mark.parametrize(
    ("text", "finish", "kept"),
    [
        ("", "error", False),
        ("[1] > [2]", "error", False),
        ("", "stop", False),
        (" ", None, False),
        ("", "length", True),
        ("", "content_filter", True),
        ("[1] > [2]", "stop", True),
    ],
)
def test_what_an_old_ledger_kept_of_a_fault_is_asked_anew(
    text: str, finish: str | None, kept: bool, tmp_path: Path
) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put(CALL, Answer(text, 5, 3, 0.1, finish))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.answered(CALL.key) is kept
        assert (ledger.get(CALL) is not None) is kept
        healthy = Answer("[2] > [1]", 5, 3, 0.1, "stop")
        ledger.put(CALL, healthy)
        found = ledger.get(CALL)
        assert found is not None
        assert found.text == (text if kept else healthy.text)
        assert ledger.totals().tokens_in == (5 if kept else 10)  # what was paid for stays counted
