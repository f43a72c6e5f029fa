"""How ``consent show`` tells a person what happened."""

from relay.cli.timeline import lines

ENTRY = {
    "time": "2026-11-22T10:51:59Z",
    "event": 4,
    "type": "consent.granted",
    "tenant": "shop",
    "list": "news",
    "brand": None,
    "data": {
        "automated": ["seconds-after-sending", "scanner-agent"],
        "brand": None,
        "list": 1,
        "own_act": True,
        "expires_at": None,
        "evidence": {
            "signup": {"ip": "192.0.2.1", "at": 1_795_344_634.9, "event": 3},
            "confirmation": {"ip": "192.0.2.2", "page_fetched_at": 1_795_344_687.7, "delay": 8.5},
            "form_url": "",
        },
    },
}


def test_times_are_dates_and_each_part_of_the_evidence_has_its_name() -> None:
    assert list(lines(ENTRY)) == [
        "2026-11-22T10:51:59Z  event 4: consent.granted  shop/news",
        "    automated: seconds-after-sending, scanner-agent",
        "    own_act: yes",
        "    signup ip: 192.0.2.1",
        "    signup at: 2026-11-22T10:50:34Z",
        "    signup event: 3",
        "    confirmation ip: 192.0.2.2",
        "    confirmation page_fetched_at: 2026-11-22T10:51:27Z",
        "    confirmation delay: 8.5",
    ]


def test_what_strangers_wrote_cannot_act_on_the_terminal() -> None:
    evidence = {"user_agent": "Mozilla\x1b[2J\x9b1m", "public_key": "-----BEGIN\nAAAA\n", "a\tb": 1}
    assert list(lines({**ENTRY, "data": {"evidence": evidence}}))[1:] == [
        "    user_agent: Mozilla�[2J�1m",
        "    public_key: -----BEGIN",
        "      AAAA",
        "    a�b: 1",
    ]


def test_the_level_of_a_consent_shows() -> None:
    entry = {**ENTRY, "list": None, "data": {}}
    assert list(lines({**entry, "brand": "kids"})) == [
        "2026-11-22T10:51:59Z  event 4: consent.granted  shop, brand kids"
    ]
    assert list(lines(entry)) == ["2026-11-22T10:51:59Z  event 4: consent.granted  shop"]
    assert list(lines({**entry, "tenant": None})) == [
        "2026-11-22T10:51:59Z  event 4: consent.granted"
    ]
