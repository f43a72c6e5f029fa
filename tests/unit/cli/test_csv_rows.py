"""CSV as spreadsheets and shells write it, a chunk at a time."""

import tracemalloc
from pathlib import Path

import pytest

from relay.cli.csv_rows import chunks, count_lines
from relay.consent.csv_file import CHUNK
from relay.operate.errors import OperationError

REQUIRED = ("address", "basis")


def read(
    path: Path, octets: bytes
) -> tuple[list[tuple[int, dict[str, str]]], list[tuple[int, str]]]:
    path.write_bytes(octets)
    rows, bad = [], []
    for chunk in chunks(path, REQUIRED):
        rows += chunk.rows
        bad += chunk.bad
    return rows, bad


@pytest.mark.parametrize(
    "octets",
    [
        b"address,basis\na@b.example,approved\n",
        b"address,basis\r\na@b.example,approved\r\n",
        b"\xef\xbb\xbfaddress,basis\r\na@b.example,approved",
        b"address;basis\na@b.example;approved\n",
        b"address\tbasis\na@b.example\tapproved\n",
        b' Address ,"BASIS"\n"a@b.example","approved"\n',
    ],
)
def test_spellings_of_one_file(tmp_path: Path, octets: bytes) -> None:
    rows, bad = read(tmp_path / "a.csv", octets)
    assert (rows, bad) == ([(2, {"address": "a@b.example", "basis": "approved"})], [])


def test_line_numbers_count_lines_not_rows(tmp_path: Path) -> None:
    rows, bad = read(
        tmp_path / "a.csv",
        b'address,basis,note\na@b.example,approved,"two\nlines"\n\nb@b.example,approved,\nshort\n',
    )
    assert [line for line, _ in rows] == [2, 5]
    assert rows[0][1]["note"] == "two\nlines"
    assert [line for line, _ in bad] == [6]


def test_an_open_quote_is_a_bad_row(tmp_path: Path) -> None:
    rows, bad = read(tmp_path / "a.csv", b'address,basis\na@b.example,approved\n"b@b.example,x\n')
    assert [line for line, _ in rows] == [2]
    assert bad[0][0] == 3


def test_a_huge_field_is_a_bad_row(tmp_path: Path) -> None:
    _, bad = read(tmp_path / "a.csv", b"address,basis\n" + b"a" * 200_000 + b",x\n")
    assert bad[0][0] == 2


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="not UTF-8") as caught:
        read(tmp_path / "a.csv", "address,basis\nrené@b.example,approved\n".encode("latin-1"))
    assert caught.value.status == 2


def test_nul_octets_do_not_crash(tmp_path: Path) -> None:
    rows, bad = read(tmp_path / "a.csv", b"address,basis\na\0@b.example,approved\n")
    assert len(rows) + len(bad) == 1


def test_a_long_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w") as out:
        out.write("address,basis\n")
        out.writelines(f"person{number}@example.org,approved\n" for number in range(60_000))
    assert count_lines(path) == 60_001
    tracemalloc.start()
    total = 0
    for chunk in chunks(path, REQUIRED):
        assert len(chunk.rows) <= CHUNK
        total += len(chunk.rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 60_000
    assert peak < 2_000_000
