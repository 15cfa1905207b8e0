import codecs
import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.data.reading import read_json, read_jsonl, read_lines
from rankstill.errors import DataError


def test_broken_json_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"_id": "p1"}\n{"_id": "p2"\n')
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 2: broken JSON"):
        list(read_jsonl(path))


def test_a_json_line_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('["p1", "text"]\n')
    with pytest.raises(DataError, match=r"line 1: expected a JSON object here, not a list"):
        list(read_jsonl(path))


@pytest.mark.parametrize("read", [read_jsonl, read_lines])
def test_a_wrong_encoding_is_named_by_file_line_and_byte(tmp_path: Path, read: object) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_bytes('{"_id": "q1"}\n{"text": "caf\u00e9"}\n'.encode("latin-1"))
    with pytest.raises(DataError, match=r"queries\.jsonl, line 2: byte 14 of the line \(0xe9\) is not UTF-8"):
        list(read(path))  # type: ignore[operator]


def test_a_wrong_encoding_in_a_whole_json_file_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes('[\n"caf\u00e9"]'.encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.json, line 2: byte 5 .* is not UTF-8"):
        read_json(path)


def test_broken_json_in_a_whole_json_file_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('[\n{"question": "a"},\n{"question" "b"}]')
    with pytest.raises(DataError, match=r"train\.json, line 3: broken JSON"):
        read_json(path)


def test_a_download_cut_short_is_an_error_and_not_a_shorter_corpus(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl.gz"
    whole = gzip.compress("".join(f'{{"_id": "p{i}", "text": "{i * 7919}"}}\n' for i in range(5000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"corpus\.jsonl\.gz: the gzip file is cut short or damaged after line \d+"):
        list(read_jsonl(path))


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl.gz"
    whole = bytearray(gzip.compress(b'{"_id": "p1"}\n' * 1000))
    whole[20] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match="cut short or damaged"):
        list(read_jsonl(path))


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    unpacked_on_the_way, packed = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl"
    unpacked_on_the_way.write_bytes(b'{"_id": "p1"}\n')
    packed.write_bytes(gzip.compress(b'{"_id": "p1"}\n'))
    assert list(read_jsonl(unpacked_on_the_way)) == list(read_jsonl(packed)) == [(1, {"_id": "p1"})]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes('{"text": "a\u2028b\u0085c"}\r\n\r\n{"text": "d"}'.encode())
    assert list(read_jsonl(path)) == [(1, {"text": "a\u2028b\u0085c"}), (3, {"text": "d"})]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"_id": "q1"}\n')
    assert list(read_jsonl(path)) == [(1, {"_id": "q1"})]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_utf_16_as_windows_writes_it_is_read(tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    text = '{"text": "größe 😀\u010a"}\r\n\r\n{"text": "d"}'
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(pack(text.encode(encoding)))
    assert list(read_jsonl(path)) == [(1, {"text": "größe 😀\u010a"}), (3, {"text": "d"})]
    path.write_bytes(pack(f"[{text.splitlines()[0]}]".encode(encoding)))
    assert read_json(path) == [{"text": "größe 😀\u010a"}]


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE])
def test_utf_16_with_its_mark_is_read_in_either_byte_order(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(mark + "why\n".encode("utf-16-be" if mark == codecs.BOM_UTF16_BE else "utf-16-le"))
    assert list(read_lines(path)) == [(1, "why\n")]


def test_damaged_utf_16_is_told_without_advice_for_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes('{"_id": "p1"}\n{"_id": "p2"}'.encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"corpus\.jsonl: it begins as UTF-16 and is damaged after line") as caught:
        list(read_jsonl(path))
    assert "iconv" not in str(caught.value)


def test_broken_lines_of_several_kinds_are_told_at_once_and_the_good_ones_given(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b'{"_id": \n{"_id": "p1"}\n[]\n"caf\xe9"\n' + b"# no JSON\n" * 9)
    given: list[object] = []
    with pytest.raises(DataError) as caught:
        given.extend(read_jsonl(path))
    *told, rest = str(caught.value).splitlines()
    assert given == [(2, {"_id": "p1"})]
    assert ["broken JSON" in told[0], "not a list" in told[1], "not UTF-8" in told[2]] == [True] * 3
    assert (len(told), rest) == (10, "... and 2 more.")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens and cannot be read")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"corpus\.jsonl: cannot be read \("):
        list(read_jsonl(path))
