import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankstill.teacher import ledger as ledger_module
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.ledger import Ledger, LedgerError, Spend, default_ledger_path

FORK = multiprocessing.get_context("fork")


def call(number: int = 0, *, model: str = "gpt-4o-mini", text: str = "Rank the passages.", attempt: int = 0) -> Call:
    message = {"role": "user", "content": f"{text} {number}"}
    return Call("http://llm/v1", model, (message,), {"temperature": 0.0, "max_tokens": 50}, attempt)


ANSWER = Answer("[2] > [1]", tokens_in=100, tokens_out=10, seconds=0.5, finish="stop")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_an_answer_comes_back_as_it_was(ledger: Ledger) -> None:
    assert ledger.get(call()) is None
    ledger.put(call(), ANSWER)
    assert ledger.get(call()) == ANSWER


def test_answers_stay_when_the_ledger_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "ledger.sqlite"
    with Ledger(path) as first:
        first.put(call(), ANSWER)
    with Ledger(path) as second:
        assert second.get(call()) == ANSWER


@pytest.mark.parametrize(
    "other",
    [
        call(1),
        call(model="gpt-4o"),
        call(attempt=1),
        Call("http://other/v1", "gpt-4o-mini", call().messages, call().parameters),
        Call("http://llm/v1", "gpt-4o-mini", call().messages, {**call().parameters, "temperature": 1.0}),
    ],
)
def test_another_call_has_not_been_answered(ledger: Ledger, other: Call) -> None:
    ledger.put(call(), ANSWER)
    assert ledger.get(other) is None


def test_a_call_that_failed_has_not_been_answered_and_may_be_later(ledger: Ledger) -> None:
    ledger.fail(call(), "503 Service Unavailable", 1.5)
    ledger.fail(call(), "timed out", 30.0)
    assert ledger.get(call()) is None
    ledger.put(call(), ANSWER)
    assert ledger.get(call()) == ANSWER
    assert ledger.totals() == Spend(calls=1, failures=2, tokens_in=100, tokens_out=10)


def test_the_first_answer_to_a_call_stays(ledger: Ledger) -> None:
    ledger.put(call(), ANSWER)
    ledger.put(call(), Answer("[1] > [2]", 200, 20, 0.1))
    assert ledger.get(call()) == ANSWER
    assert ledger.totals() == Spend(calls=1, tokens_in=100, tokens_out=10)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_empty_answer_with_a_reason_is_kept(ledger: Ledger, finish: str) -> None:
    ledger.put(call(), empty := Answer("", 100, 50, 0.5, finish))
    assert ledger.get(call()) == empty


@settings(max_examples=30, deadline=None)
@given(prompt=st.text(), reply=st.text(st.characters(exclude_categories=())).filter(str.strip))
def test_no_text_at_all_is_changed_or_lost(prompt: str, reply: str) -> None:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        ledger.put(call(text=prompt), Answer(reply, 1, 1, 0.1))
        stored = ledger.get(call(text=prompt))
        assert stored is not None
        assert stored.text == reply


def test_half_a_surrogate_pair_and_a_nul_are_kept(ledger: Ledger) -> None:
    odd = "[1] \x00 > \ud83d [2]"
    ledger.put(call(text=odd), Answer(odd, 1, 1, 0.1))
    ledger.fail(call(text=odd), odd, 0.1)
    stored = ledger.get(call(text=odd))
    assert stored is not None
    assert stored.text == odd


def test_a_row_says_all_that_the_call_was(ledger: Ledger) -> None:
    before = datetime.now(timezone.utc)
    ledger.put(call(text="caf\u00e9", attempt=1), ANSWER)
    ledger.fail(call(), "429 Too Many Requests", 0.25)
    with sqlite3.connect(ledger.path) as plain:
        plain.row_factory = sqlite3.Row
        answered, failed = plain.execute("SELECT * FROM calls ORDER BY id").fetchall()
    plain.close()
    assert answered["key"] == call(text="caf\u00e9", attempt=1).key
    assert (answered["endpoint"], answered["model"]) == ("http://llm/v1", "gpt-4o-mini")
    assert answered["messages"] == '[{"role": "user", "content": "caf\u00e9 0"}]'
    assert answered["parameters"] == '{"max_tokens": 50, "temperature": 0.0}'
    assert (answered["answer"], answered["finish"]) == ("[2] > [1]", "stop")
    assert (answered["tokens_in"], answered["tokens_out"], answered["seconds"]) == (100, 10, 0.5)
    assert (answered["attempt"], answered["paid_by"], answered["error"]) == (1, "", None)
    assert (failed["error"], failed["seconds"], failed["answer"]) == ("429 Too Many Requests", 0.25, None)
    assert abs((datetime.fromisoformat(answered["time"]) - before).total_seconds()) < 5


def test_no_key_is_ever_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-proj-0123456789abcdefghij"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    parameters = {"api_key": key, "extra_headers": {"Authorization": f"Bearer {key}"}}
    careless = Call(f"https://user:{key}@llm/v1?api_key={key}", "m", ({"role": "user", "content": "?"},), parameters)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put(careless, ANSWER)
        ledger.fail(careless, f"401 Incorrect API key provided: {key}.", 0.1)
        assert ledger.get(careless) == ANSWER
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Incorrect API key provided: [removed]" in written
    assert key.encode() not in written


def test_totals_are_of_all_models_or_one(ledger: Ledger) -> None:
    assert ledger.totals() == Spend()
    ledger.put(call(0, model="a"), ANSWER)
    ledger.put(call(1, model="a"), ANSWER)
    ledger.put(call(2, model="b"), Answer("[1]", 7, 3, 0.1))
    ledger.fail(call(3, model="b"), "timed out", 30.0)
    assert ledger.totals() == Spend(3, 1, 207, 23)
    assert ledger.totals("a") == Spend(2, 0, 200, 20)
    assert ledger.totals("b") == Spend(1, 1, 7, 3)
    assert ledger.totals("c") == Spend()


def test_latency_is_that_of_answered_calls_by_model(ledger: Ledger) -> None:
    for number in range(100):
        ledger.put(call(number, model="fast"), Answer("[1]", 10, 1, (number + 1) / 100))
    ledger.fail(call(model="fast"), "timed out", 600.0)
    ledger.fail(call(model="dead"), "connection refused", 0.1)
    ledger.put(call(model="once"), Answer("[1]", 10, 1, 2.5))
    dead, fast, once = ledger.by_model()
    assert (fast.model, fast.spend) == ("fast", Spend(100, 1, 1000, 100))
    assert (fast.p50, fast.p90, fast.p99) == (0.5, 0.9, 0.99)
    assert (once.p50, once.p90, once.p99) == (2.5, 2.5, 2.5)
    assert (dead.p50, dead.p90, dead.p99) == (None, None, None)
    assert dead.spend == Spend(0, 1)
    assert datetime.fromisoformat(once.last) <= datetime.now(timezone.utc)


def write_shared(path: Path, start: object, own: int) -> None:
    start.wait()  # type: ignore[attr-defined]
    with Ledger(path) as ledger:
        for number in range(25):
            ledger.put(call(number), ANSWER)
            ledger.put(call(own + number), ANSWER)
            ledger.fail(call(number), "503", 0.1)


def test_several_processes_make_and_fill_one_ledger(tmp_path: Path) -> None:
    path, start = tmp_path / "ledger.sqlite", FORK.Barrier(4)
    workers = [FORK.Process(target=write_shared, args=(path, start, 1000 * (each + 1))) for each in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    with Ledger(path) as ledger:
        assert ledger.totals() == Spend(125, 100, 12500, 1250)


def test_several_threads_may_share_a_ledger(ledger: Ledger) -> None:
    def work(own: int) -> None:
        for number in range(own, own + 20):
            ledger.put(call(number), ANSWER)
            assert ledger.get(call(number)) == ANSWER

    threads = [threading.Thread(target=work, args=(100 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.totals().calls == 80


def write_until_killed(path: Path, done: int) -> None:
    with Ledger(path) as ledger:
        for number in range(100_000):
            ledger.put(call(number), ANSWER)
            os.write(done, b".")


@pytest.mark.parametrize("after", [0.05, 0.11, 0.23])
def test_what_was_put_is_there_after_a_kill(tmp_path: Path, after: float) -> None:
    path = tmp_path / "ledger.sqlite"
    reading, writing = os.pipe()
    worker = FORK.Process(target=write_until_killed, args=(path, writing))
    worker.start()
    os.close(writing)
    count = len(os.read(reading, 1))
    time.sleep(after)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    while said := os.read(reading, 65536):
        count += len(said)
    os.close(reading)
    with Ledger(path) as ledger:
        assert all(ledger.get(call(number)) == ANSWER for number in range(count))
        # At most the one that was under way when it was killed.
        assert count <= ledger.totals().calls <= count + 1


def fill(path: Path, rows: int) -> None:
    """Many rows at once, as only a test may write them."""
    rest = (0.0, "stop", "2026-01-01T00:00:00.000+00:00", None, b"{}", b"[2] > [1]", b"[]")
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA synchronous = OFF")
        plain.executemany(
            ledger_module._INSERT,
            (
                (f"{n:064x}", 0, "http://llm/v1", f"model-{n % 3}", 0, "", 100, 10, (n % 997 + 1) / 100, *rest)
                for n in range(rows)
            ),
        )
    plain.close()


def test_a_hundred_thousand_rows_do_not_slow_it_down(ledger: Ledger) -> None:
    def seconds_each(first: int) -> tuple[float, float]:
        puts, gets = [], []
        for number in range(first, first + 50):
            puts.append(timed(lambda: ledger.put(call(number), ANSWER)))  # noqa: B023
            gets.append(timed(lambda: ledger.get(call(number))))  # noqa: B023
        return min(puts), min(gets)  # what else the processor does makes some of them slower, and none faster

    early_put, early_get = seconds_each(0)
    fill(ledger.path, 100_000)
    late_put, late_get = seconds_each(1000)
    assert late_put < 3 * early_put
    assert late_get < 5 * early_get
    assert timed(ledger.totals) + timed(ledger.by_model) < 2
    assert ledger.totals().calls == 100_100


def timed(work: Callable[[], object]) -> float:
    """Seconds of the processor: those of the disk depend on what else writes to it."""
    started = time.process_time()
    work()
    return time.process_time() - started


def test_neither_answers_nor_sums_are_looked_for_row_by_row(ledger: Ledger) -> None:
    def plan(question: str) -> str:
        return " ".join(row[3] for row in ledger._reader.execute(f"EXPLAIN QUERY PLAN {question}", ("x",)))

    assert "USING INDEX answered" in plan(ledger_module._GET)
    assert "USING COVERING INDEX measured" in plan(f"SELECT {ledger_module._SUMS} FROM calls WHERE model = ?")
    percentile = plan("SELECT seconds FROM calls WHERE model = ? AND failed = 0 ORDER BY seconds LIMIT 1 OFFSET 9")
    assert "USING COVERING INDEX measured" in percentile
    assert "TEMP B-TREE" not in percentile


def test_every_row_is_on_the_disk_when_put_returns(ledger: Ledger) -> None:
    assert ledger._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"query_id,ranking\n" * 500)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite: damaged, or no ledger .* Move it away"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_damaged_ledger_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path):
        fill(path, 2000)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged, or no ledger"), Ledger(path) as ledger:
        ledger.get(call())


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    with sqlite3.connect(path) as plain:
        plain.execute("CREATE TABLE bookmarks (url TEXT)")
    plain.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"places\.sqlite: another program's database"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_ledger_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA user_version = 2")
    plain.close()
    with pytest.raises(LedgerError, match="of format 2, while this version of rankstill has format 1"):
        Ledger(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/ledger\.sqlite: cannot be used .* set RANKSTILL_LEDGER"):
        Ledger(tmp_path / "file" / "ledger.sqlite")


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"cannot be used .* Check its folder's permissions"):
        Ledger(tmp_path)


def open_as_nobody(path: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)  # the rights of a folder do not bind root
    with pytest.raises(LedgerError, match=r"cannot be used .* Check its folder's permissions"):
        Ledger(path)


@pytest.mark.parametrize("there", [True, False])
def test_a_read_only_folder_is_an_error_that_says_so(there: bool) -> None:
    folder = Path(tempfile.mkdtemp())  # not tmp_path, whose parents are closed to others
    try:
        if there:
            Ledger(folder / "ledger.sqlite").close()
        folder.chmod(0o555)
        worker = FORK.Process(target=open_as_nobody, args=(folder / "ledger.sqlite",))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_ledger_that_another_process_holds_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_BUSY_SECONDS", 0.1)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        holder = sqlite3.connect(ledger.path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="held by another process"):
            ledger.put(call(), ANSWER)
        assert ledger.get(call()) is None  # reading does not wait
        holder.execute("ROLLBACK")
        holder.close()
        ledger.put(call(), ANSWER)
        assert ledger.get(call()) == ANSWER


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({}, "/home/u/.local/share/rankstill/ledger.sqlite"),
        ({"XDG_DATA_HOME": "/data"}, "/data/rankstill/ledger.sqlite"),
        ({"XDG_DATA_HOME": "relative"}, "/home/u/.local/share/rankstill/ledger.sqlite"),
        ({"XDG_DATA_HOME": "/data", "RANKSTILL_LEDGER": "/x/y.sqlite"}, "/x/y.sqlite"),
        ({"RANKSTILL_LEDGER": "~/y.sqlite"}, "/home/u/y.sqlite"),
        ({"RANKSTILL_LEDGER": ""}, "/home/u/.local/share/rankstill/ledger.sqlite"),
    ],
)
def test_workspaces_share_a_ledger_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], path: str
) -> None:
    for name in ("XDG_DATA_HOME", "RANKSTILL_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/u", **variables}.items():
        monkeypatch.setenv(name, value)
    assert default_ledger_path() == Path(path)
