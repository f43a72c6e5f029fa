import pytest

from relay.transform.headers import HeaderBlock, field

HEADER = (
    b"Received: from a\r\n\tby b; date\r\n"
    b"FROM : Someone <a@example.com>\r\n"
    b"X-Odd:no space\r\n"
    b"Received: from c by d\r\n"
    b"Subject: =?utf-8?q?caf=C3=A9?=\r\n   folded  twice \r\n\tthrice\r\n"
    b"\r\n"
)


def test_what_is_read_is_written_back():
    assert bytes(HeaderBlock.parse(HEADER)) == HEADER
    assert bytes(HeaderBlock.parse(b"\r\n")) == b"\r\n"
    assert bytes(HeaderBlock.parse(b"")) == b"\r\n"


def test_names_are_lower_case_without_space_before_the_colon():
    names = [found.name for found in HeaderBlock.parse(HEADER).fields]
    assert names == ["received", "from", "x-odd", "received", "subject"]


def test_values_are_unfolded_and_come_top_first():
    block = HeaderBlock.parse(HEADER)
    assert block.get("received") == (b"from a\tby b; date", b"from c by d")
    assert block.get("x-odd") == (b"no space",)
    assert block.get("subject") == (b"=?utf-8?q?caf=C3=A9?=   folded  twice \tthrice",)
    assert block.get("to") == ()


def test_without_takes_the_whole_folded_field_and_nothing_else():
    block = HeaderBlock.parse(HEADER).without("received", "subject")
    assert bytes(block) == b"FROM : Someone <a@example.com>\r\nX-Odd:no space\r\n\r\n"


def test_new_fields_go_to_the_end_in_their_order():
    block = HeaderBlock.parse(b"A: 1\r\n\r\n")
    grown = block.append(field("Y", "next"), field("Z", "end"))
    assert bytes(grown) == b"A: 1\r\nY: next\r\nZ: end\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        b"no colon here\r\n\r\n",
        b" begins with a fold\r\nA: 1\r\n\r\n",
        b"A: 1\r\nBad Name: x\r\n\r\n",
        b"A: 1\r\nN\xc3\xa4me: x\r\n\r\n",
        b": no name\r\n\r\n",
        b"A: 1\r\n\r\nB: 2\r\n\r\n",
        b"A: bare\nB: 2\r\n\r\n",
        b"A: bare\rB: 2\r\n\r\n",
        b"A: no end",
        b"n" * 500_000,
        b"A: 1\r\n" + b"n " * 250_000,
    ],
)
def test_a_line_that_is_neither_field_nor_fold_is_an_error(header):
    with pytest.raises(ValueError, match="neither a field nor a fold"):
        HeaderBlock.parse(header)


@pytest.mark.parametrize("value", ["a\r\nBcc: x", "a\nb", "a\rb", "a\0b"])
def test_a_value_cannot_make_a_second_field(value):
    with pytest.raises(ValueError, match="X-Test"):
        field("X-Test", value)


@pytest.mark.parametrize("name", ["", "A B", "A:", "A\r\nB", "Ä"])
def test_a_wrong_field_name_is_an_error(name):
    with pytest.raises(ValueError, match="not a header field name"):
        field(name, "x")


def test_non_ascii_values_are_utf8():
    assert field("Subject", "café") == b"Subject: caf\xc3\xa9\r\n"


@pytest.mark.parametrize("raw", [b"", b"A: 1", b"A: 1\r\nB: 2\r\n", b"A: 1\r\n\r\n", b"no\r\n"])
def test_only_one_whole_field_can_be_added(raw):
    block = HeaderBlock.parse(b"\r\n")
    with pytest.raises(ValueError, match="exactly one"):
        block.append(raw)
