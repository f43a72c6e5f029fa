import pytest

from relay.transform.lines import MAX_LINE, bare, fold_body, fold_field, fold_line, long_line, mend


def longest(content: bytes) -> int:
    return max(len(line) for line in content.split(b"\r\n"))


def test_bare_line_ends_are_counted_apart():
    assert bare(b"a\r\nb\r\n") == (0, 0)
    assert bare(b"a\nb\r\n\n") == (2, 0)
    assert bare(b"a\rb\r\r\n") == (0, 2)


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n", b"a b\r\n"),
        (b"a\r\r\nb\r\n", b"a \r\nb\r\n"),
        (b"\n\r\n", b"\r\n\r\n"),
        (b"a\r.\r\n", b"a .\r\n"),
        (b"\r", b" "),
    ],
)
def test_mend(came, leaves):
    assert mend(came) == leaves


def test_a_line_of_998_octets_is_not_long_and_one_of_999_is():
    permitted = b"x" * MAX_LINE + b"\r\n"
    assert long_line(permitted * 50) == -1
    too_long = b"x" * (MAX_LINE + 1) + b"\r\n"
    assert long_line(permitted * 3 + b"short\r\n" + too_long) == 3 * len(permitted) + 7
    assert long_line(too_long) == 0


def test_a_long_last_line_without_line_end_is_found():
    assert long_line(b"a\r\n" + b"x" * (MAX_LINE + 1)) == 3


def test_a_line_breaks_before_a_space_so_that_no_octet_is_added():
    line = b"word " * 400
    folded = fold_line(line)
    assert folded.replace(b"\r\n", b"") == line
    assert longest(folded) <= MAX_LINE
    assert all(part.startswith(b" ") for part in folded.split(b"\r\n")[1:])


def test_a_line_without_spaces_breaks_with_a_space_added():
    folded = fold_line(b"x" * 2500)
    assert [len(part) for part in folded.split(b"\r\n")] == [998, 998, 506]
    assert folded.replace(b"\r\n ", b"") == b"x" * 2500


@pytest.mark.parametrize("offset", range(4))
def test_a_break_never_splits_a_character(offset):
    line = b"x" * offset + "é€😀".encode() * 300
    folded = fold_line(line)
    for part in folded.split(b"\r\n"):
        part.decode("utf-8")
    assert longest(folded) <= MAX_LINE
    assert folded.replace(b"\r\n ", b"") == line


def test_octets_that_are_no_utf8_break_at_the_limit():
    folded = fold_line(b"\x80" * 2000)
    assert longest(folded) == MAX_LINE


def test_only_the_long_lines_of_a_body_change():
    before = b"one\r\n\r\n .two \r\n"
    after = b"\ttail\r\n\r\n"
    folded = fold_body(before + b"y" * 1500 + b"\r\n" + after)
    assert folded == before + b"y" * 998 + b"\r\n " + b"y" * 502 + b"\r\n" + after


def test_a_folded_field_unfolds_to_the_same_value():
    raw = b"To: " + b", ".join(b"user%d@example.com" % n for n in range(200)) + b"\r\n"
    folded = fold_field(raw)
    assert folded.replace(b"\r\n", b"") + b"\r\n" == raw
    assert longest(folded) <= MAX_LINE


def test_a_fold_never_leaves_a_line_of_white_space_or_parts_name_and_colon():
    raw = b"Subject : \t" + b" " * 3000 + b"x" + b" " * 3000 + b"y" * 2000 + b"  \r\n"
    lines = fold_field(raw)[:-2].split(b"\r\n")
    assert lines[0].startswith(b"Subject :")
    assert all(line.strip() for line in lines)
    assert all(line.startswith(b" ") for line in lines[1:])


def test_a_long_continuation_of_white_space_alone_vanishes():
    assert fold_field(b"A: x\r\n" + b" " * 1200 + b"\r\n y\r\n") == b"A: x\r\n y\r\n"


def test_a_name_that_fills_the_line_cannot_be_folded():
    with pytest.raises(ValueError, match="name too long"):
        fold_field(b"N" * 1200 + b": x\r\n")
