"""What a log says of work that takes long."""

from __future__ import annotations

import pytest

from rankstill import progress


def test_a_log_says_how_far_it_is_and_goes_on_when_there_is_more_than_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_LOG_EVERY_SECONDS", 0.0)
    with progress.progress("asking", 3) as advance:
        for done in (1, 2, 2):
            advance(done)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", about")[0] or line for line in lines] == [
        "  asking: 1 of 3",
        "  asking: 5, more than the 3 that were expected",
    ]


def test_a_long_line_breaks_between_words_and_a_command_stays_whole() -> None:
    line = "  note: no test query is judged: `rankstill judge w --dry-run` says at what price"
    assert progress.wrapped(line, 40).split("\n") == [
        "  note: no test query is judged:",
        "`rankstill judge w --dry-run` says at",
        "what price",
    ]
    assert progress.wrapped("short  and   spaced", 40) == "short  and   spaced"
    assert progress.wrapped("/a/path/that/is/longer/than/the/line is whole", 10).startswith(
        "/a/path/that/is/longer/than/the/line\n"
    )
