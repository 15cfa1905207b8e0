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
