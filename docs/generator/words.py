"""What the reference says that the code cannot: when a reply is given, what a label means."""

from __future__ import annotations

from typing import Any

from relay.app import FIXED
from relay.consent.terms import VERSION
from relay.model import Reason

STARTS_ANEW = (*FIXED, "drain_seconds", "delivery.workers")
"""What a reload does not take up."""

COMMAND_GROUPS = {
    "quarantine": "IDs are those of copies, `MESSAGE.NUMBER`, as `list` and the digest show them.",
    "spool": "IDs are those of copies, as `list` shows them.",
}

OPTIONS = {
    "--smtp": "Where mail comes in, without TLS (`smtp.listeners`).",
    "--http": "Where the public pages are served (`http.public`).",
    "--admin": "Where the API is served (`http.admin`).",
    "--metrics": "Where Prometheus asks (`http.metrics`).",
    "--tenant": "Only this tenant.",
    "--list": "Only this list.",
    "--reason": "Only this reason.",
    "--kind": "What is sent.",
    "--brand": "The label under which consent is asked.",
    "--name": "Name of the legal person.",
    "--address": "Its postal address.",
    "--contact": "Gets notices of held mail.",
    "--registration": "E.g. the KVK number.",
    "--purpose": "What is sent, in words a person reads.",
    "--promise": "How often.",
    "--list-headers-ok": "Transactional mail of it may carry newsletter headers.",
}
"""Words for options that have none of their own."""

OPTION_NOTES = {
    (
        "tenant add",
        "--mode",
    ): "Whether consent rules bite. `observe` is recorded and has no effect in this release.",
    (
        "tenant set",
        "--mode",
    ): "Whether consent rules bite. `observe` is recorded and has no effect in this release.",
    ("list add", "--promise"): "Shown to recipients; nothing counts it in this release.",
    ("list set", "--promise"): "How often. Shown to recipients; nothing counts it in this release.",
    ("list add", "--third-parties"): "Shown before consent is asked: name each of them.",
    ("list set", "--third-parties"): "Shown before consent is asked: name each of them.",
    ("explain", "--tenant"): "Whose mail it would be.",
    ("explain", "--from"): "Without it, the From address.",
    ("explain", "--list"): "As a credential bound to this list.",
    ("consent withdraw", "--tenant"): "Whose mail stops.",
    ("consent withdraw", "--list"): "Without it, from everything of the tenant.",
    ("credential add", "--network"): "At widest /16 (IPv4) or /48 (IPv6).",
}
"""What else should be known of an option."""

GIVEN_BY_CODE = {
    Reason.FOREIGN_SENDER: "MAIL, when the envelope sender's domain is not the client's (553)",
    Reason.UNKNOWN_LIST: "the choice of the list, when the credential or `X-Consent-List` names "
    "one that is not there, or List-Id or From is that of an archived one",
    Reason.SUSPENDED: "MAIL, or the final dot on a gateway, while the tenant is suspended (450)",
    Reason.RATE: "the throttle: mail is taken and waits (`throttle/rate`)",
    Reason.QUOTA: "the final dot, when the tenant's quota is full (452)",
    Reason.INTERNAL: "trouble of the relay's own (451)",
}
"""Reasons that are given outside the rulebooks."""

NOT_FED = {
    "relay_dnsbl_listed": "metrics.dnsbl_listed",
}
"""Series that are declared and that nothing counts yet; the call that would feed each."""

LABELS = {
    "action": "`deliver`, `delay`, `drop`, `quarantine`, `reject`, `defer`",
    "channel": "`one-click` (a mail program), `page` (a button), `api`, `command`, `hook` (a "
    "webhook that came in), `complaint`, `import`, `erasure`",
    "class": "of `relay_upstream_replies_total`: `2xx`, `4xx`, `5xx`, or `none` without an answer; "
    "of `relay_bounces_total`: `hard` (refused for good) or `expired` (given up)",
    "event": "`asked`, `capped` (asked, and no mail sent), `mailed`, `confirmed`, `automated` "
    "(confirmed, as if by a machine; counted as confirmed, too), `lapsed` (never answered)",
    "kind": "`commercial`, `transactional`, `personal`, `discussion`, `auto`; of "
    "`relay_webhooks_total`: `webhook`, `one-click` (the sender's own address)",
    "listener": "`name` of the listener in `smtp.listeners`",
    "reason": "a word of [Reasons](reasons.md); empty for mail that simply passes",
    "result": "`accepted`, `refused` (5xx), `deferred` (4xx), `aborted` (the client left in DATA); "
    "of `relay_webhooks_total`: `delivered`, `failed` (tried again), `dead` (given up)",
    "source": "`hook` (a webhook that came in)",
    "stage": "`judge` (store query and rules), `commit` (synced on return), `send` (until the "
    "upstream's answer)",
    "tenant": "slug of the tenant; `-` is mail on a gateway that nobody owns",
    "upstream": "host part of `upstream.address`; `none` when no connection was made",
    "version": "release of the relay",
    "zone": "not used in this release",
}

CONTENT_PROBLEMS = {
    "bare-newline": 'a bare CR or LF, with `smtp.bare_newlines = "reject"`',
    "long-line": 'a line over 998 octets, with `smtp.long_lines = "reject"`',
    "nul": "a NUL octet",
    "header": "a line in the header block that is no field, or a field name too long to fold",
    "header-too-large": "a header block above `smtp.max_header_bytes`",
}

REPLIES = {
    "OK": "RSET, NOOP",
    "SENDER_OK": "MAIL",
    "RECIPIENT_OK": "RCPT. Refusals by rule come after DATA",
    "BYE": "QUIT",
    "TLS_READY": "STARTTLS",
    "AUTHENTICATED": "AUTH with the right secret",
    "VRFY": "VRFY, always",
    "START_DATA": "DATA",
    "LINE_TOO_LONG": "a command line over 510 octets (MAIL 1,063, AUTH 12,288)",
    "AUTH_LINE_TOO_LONG": "a line of an AUTH exchange that is too long",
    "BARE_NEWLINE": "a command line that ends in a bare LF, with "
    '`smtp.bare_newlines = "reject"`; the connection is closed',
    "UNKNOWN_COMMAND": "a command that is not offered (EXPN and HELP among them)",
    "BDAT": "BDAT; the connection is closed, since content would follow unasked",
    "NOT_SMTP": "an HTTP verb or a `Header:` word as a command; the connection is closed",
    "EARLY_DATA": "message content before 354; the connection is closed",
    "HELLO_FIRST": "MAIL before HELO or EHLO",
    "EHLO_FIRST": "AUTH before EHLO",
    "MAIL_FIRST": "RCPT or DATA before MAIL",
    "RECIPIENT_FIRST": "DATA without an accepted recipient",
    "NESTED_MAIL": "a second MAIL in a transaction",
    "AUTH_IN_TRANSACTION": "AUTH after MAIL",
    "ALREADY_AUTHENTICATED": "a second AUTH",
    "TLS_ACTIVE": "a second STARTTLS",
    "NO_STARTTLS": "STARTTLS on a listener without it",
    "NO_ARGUMENT_ALLOWED": "DATA, RSET or STARTTLS with an argument",
    "HELLO_SYNTAX": "HELO or EHLO without a name",
    "MAIL_SYNTAX": "MAIL without `FROM:`",
    "RCPT_SYNTAX": "RCPT without `TO:`",
    "BAD_PARAMETER": "a parameter of MAIL or RCPT that is repeated or badly written",
    "UNKNOWN_PARAMETER": "a parameter that is not offered",
    "BAD_SENDER": "MAIL FROM is no RFC 5321 path",
    "BAD_RECIPIENT": "RCPT TO is no RFC 5321 path, or holds characters that nobody can see",
    "NEEDS_SMTPUTF8": "an address that is not ASCII, without SMTPUTF8 on MAIL",
    "AUTH_REQUIRED": "MAIL without a credential",
    "TLS_REQUIRED": "MAIL before STARTTLS on a `starttls` listener",
    "AUTH_NEEDS_TLS": "AUTH without TLS, except from loopback on a listener without TLS",
    "AUTH_FAILED": "a wrong user name or secret",
    "AUTH_SYNTAX": "AUTH without a mechanism",
    "AUTH_CANCELLED": "the client answered `*`",
    "AUTH_UNDECODABLE": "what the client answered is not base64, or not that mechanism",
    "AUTH_UNKNOWN": "a mechanism other than PLAIN and LOGIN",
    "TOO_LARGE": "SIZE, or the message itself, above `smtp.max_message_bytes`",
    "TOO_MANY_RECIPIENTS": "RCPT above `smtp.max_recipients`; send the rest in another transaction",
    "TOO_BUSY": "messages in flight take up `smtp.memory_budget`",
    "DISK_FULL": "less free disk than `store.min_free_bytes`; opt-outs still work",
    "TOO_MANY_CONNECTIONS": "`smtp.max_connections`, `smtp.max_connections_per_address` or "
    "`smtp.max_connections_per_minute` is reached",
    "TOO_MANY_ERRORS": "`smtp.max_errors` is reached",
    "TOO_MANY_AUTH_FAILURES": "`smtp.max_auth_failures` is reached",
    "TIMED_OUT": "the client was silent, or slower than `smtp.data_min_rate`",
    "SHUTTING_DOWN": "the relay is stopping; the client keeps its mail and tries again",
}

API_EXAMPLES = {
    "url": "https://shop.example/hooks/consent",
    "token": "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ3ZWJzaG9wIn0.c2lnbmF0dXJl",
    "product_group": "kitchen",
    "notice": 3,
    "optout_offered": True,
    "origin": "form on the counter, Utrecht",
    "version": VERSION,
    "accepted_by": "Anna Jansen",
    "collected_by": "Anna Jansen",
}
"""Values for the curl lines where the OpenAPI document has no example, by name."""

API_ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/lists/{list}/subscriptions"): {"state": "pending"},
    ("GET", "/api/v1/consents"): {
        "address": "anna@example.org",
        "standings": [
            {
                "list": "news",
                "kind": "commercial",
                "state": "granted",
                "basis": "confirmed",
                "since": "2026-11-22T06:31:12Z",
                "bounce_suppressed": False,
                "operator_suppressed": False,
            }
        ],
        "timeline": [
            {
                "event": 7,
                "time": "2026-11-22T06:31:12Z",
                "type": "consent.granted",
                "list": "news",
                "brand": None,
                "data": {"basis": "confirmed"},
                "exact": True,
            }
        ],
        "next": None,
    },
    ("POST", "/api/v1/optouts"): {"recorded": True, "scope": "list", "event": 8},
    ("POST", "/api/v1/links"): {
        "links": [
            {
                "address": "anna@example.org",
                "url": "https://mail.example.net/u/v1.k1.AQAAAAEAAAAB…",
                "problem": None,
            }
        ]
    },
    ("GET", "/api/v1/events"): {
        "events": [
            {
                "event": 8,
                "time": "2026-11-22T10:51:35.911Z",
                "type": "optout",
                "list": "news",
                "brand": None,
                "data": {"channel": "one-click"},
                "address": "anna@example.org",
            }
        ],
        "next": "WzgsIjBiNTdjNGU0ZjljZmY2NmYiXQ",
        "more": False,
    },
    ("GET", "/api/v1/quarantine"): {
        "copies": [
            {
                "id": "4cH2xY8.1",
                "time": "2026-11-22T06:29:00.512Z",
                "list": "news",
                "from": "news@shop.example",
                "to": "anna@example.org",
                "subject": "News of this week",
                "reason": "no-consent",
            }
        ],
        "next": None,
    },
}
"""Answers to the calls that most software begins with; long `data` is cut."""

API_NOTES = {
    ("POST", "/api/v1/consents"): "What the token of basis `approved` has to say: [Signed by an "
    "approved source](../consent.md#signed-by-an-approved-source).",
    ("POST", "/api/v1/webhooks"): "What is sent, and how to check the signature: [Webhooks "
    "out](../integration.md#webhooks-out).",
    ("POST", "/api/v1/hooks"): "How to set up each software: [Webhooks "
    "in](../integration.md#webhooks-in).",
}
"""Where more is said of a call."""
