"""Which address in a sender's own List-Unsubscribe may be called for a recipient."""

from __future__ import annotations

import pytest

from relay.decide.address import parse_address
from relay.decide.facts import read_message
from relay.decide.one_click import LONGEST, one_click_url

POST = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


def found(value: str, post: bytes = POST) -> str | None:
    header = f"From: a@shop.test\r\nList-Unsubscribe: {value}\r\n".encode() + post + b"\r\n"
    message = read_message(header, "relay.test")
    return one_click_url(message, parse_address("ann@ok.test"), "https://relay.test")


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("<https://shop.test/u?t=1&x=%20>", "https://shop.test/u?t=1&x=%20"),
        ("<mailto:out@shop.test>, <https://shop.test/u>", "https://shop.test/u"),
        ("<https://shop.test:8443/u>,\r\n <mailto:a@b.test>", "https://shop.test:8443/u"),
        ("<https://shop.test/a,b>", "https://shop.test/a,b"),
        ("<http://shop.test/u>, <https://shop.test/v>", "https://shop.test/v"),
    ],
)
def test_the_https_address(value: str, url: str) -> None:
    assert found(value) == url
    assert found(value, b"") is None, "only with List-Unsubscribe-Post"


@pytest.mark.parametrize(
    "value",
    [
        *(
            "<mailto:out@shop.test>",
            "<http://shop.test/u>",
            "https://shop.test/u",
            "",
            "<https://>",
        ),
        *("<https://user:pass@shop.test/u>", "<https://shop.test:25/u>", "<https://shop.test:x/>"),
        f"<https://shop.test/{'x' * LONGEST}>",
        "<HTTPS://Relay.test/u/TOKEN>",
        *("<https://shop.test/é>", "<https://shop.test\\@10.0.0.1/>", "<https://[::1/>"),
    ],
)
def test_none(value: str) -> None:
    assert found(value) is None
