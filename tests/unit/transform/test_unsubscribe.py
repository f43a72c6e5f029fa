import pytest

from relay.model import Kind, MailingList, Party, Tenant
from relay.transform.unsubscribe import feedback_field, list_id, list_id_in, unsubscribe_fields

TENANT = Tenant(1, "acme", Party("Acme", "Street 1", "info@example.com"))
NEWS = MailingList(1, 1, "news", Kind.COMMERCIAL, "News", "1/week")


def test_the_url_stands_on_one_line_however_long():
    url = "https://relay.example.net/u/" + "t" * 300
    line, post = unsubscribe_fields(url)
    assert line == f"List-Unsubscribe: <{url}>\r\n".encode()
    assert post == b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mailto:a@example.com",
        "https://a.example/\r\nBcc: x",
        "https://a.example/>,<mailto:x",
        "https://a.example/a b",
        "https://a.example/é",
        "https://a.example/" + "x" * 1000,
    ],
)
def test_what_is_no_url_for_one_line_is_refused(url):
    with pytest.raises(ValueError, match="URL"):
        unsubscribe_fields(url)


def test_the_registered_list_id_comes_before_our_own():
    assert list_id(NEWS, TENANT, "relay.example.net") == "news.acme.relay.example.net"
    registered = MailingList(
        1, 1, "news", Kind.COMMERCIAL, "News", "1/week", list_id="news.example.com"
    )
    assert list_id(registered, TENANT, "relay.example.net") == "news.example.com"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"<News.Example.Com>", "news.example.com"),
        (b'"All <the> news" <news.example.com>', "news.example.com"),
        (b"News < news.example.com > (comment)", "news.example.com"),
        (b"news.example.com", None),
        (b"", None),
    ],
)
def test_the_id_in_a_list_id_field(value, found):
    assert list_id_in(value) == found


def test_feedback_id_has_four_parts_and_ends_in_the_sender_id():
    assert (
        feedback_field(NEWS, TENANT, Kind.COMMERCIAL, "consentrelay")
        == b"Feedback-ID: news:acme:commercial:consentrelay\r\n"
    )
    assert (
        feedback_field(None, TENANT, Kind.COMMERCIAL, "consentrelay")
        == b"Feedback-ID: none:acme:commercial:consentrelay\r\n"
    )
