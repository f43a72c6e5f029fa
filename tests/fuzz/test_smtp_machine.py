"""The SMTP dialogue against a model: order of commands, envelopes, framing in any segmentation."""

from __future__ import annotations

import asyncio
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialogs.door import content_of, running
from tests.support.smtp_client import stuffed

RECIPIENTS = [f"r{number}@y.test" for number in range(4)]
LIMIT = 3
"""Recipients in one transaction."""

CONTENT = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"QUIT\r\n", b"\0", b"\xff"]),
    max_size=12,
).map(b"".join)
COMMANDS = st.one_of(
    st.sampled_from([b"HELO c.test", b"RSET", b"NOOP", b"VRFY x", b"FOO", b"DATA now", b"MAIL"]),
    st.sampled_from([b"MAIL FROM:<a@x.test>", b"MAIL FROM:<>", b"MAIL FROM:<bad>"]),
    st.sampled_from([*RECIPIENTS, "bad"]).map(lambda one: f"RCPT TO:<{one}>".encode()),
    st.tuples(st.just(b"DATA"), CONTENT),
)


class Model:
    """What RFC 5321 section 4.1.4 makes of a sequence of commands."""

    def __init__(self) -> None:
        self.hello = False
        self.sender: str | None = None
        self.recipients: list[str] = []
        self.accepted: list[tuple[str, list[str], bytes]] = []

    def reset(self) -> None:
        self.sender, self.recipients = None, []

    def code(self, command: bytes) -> int:
        """The code that this command is to be answered with; DATA without its content."""
        verb, _, arg = command.partition(b" ")
        match verb:
            case b"HELO":
                self.hello = True
                self.reset()
                return 250
            case b"RSET":
                self.reset()
                return 250
            case b"NOOP":
                return 250
            case b"VRFY":
                return 252
            case b"MAIL":
                if not self.hello or self.sender is not None:
                    return 503
                found = re.fullmatch(rb"FROM:<(.*)>", arg)
                if found is None or found[1] == b"bad":
                    return 501
                self.sender = found[1].decode()
                return 250
            case b"RCPT":
                if self.sender is None:
                    return 503
                recipient = arg[4:-1].decode()
                if recipient == "bad":
                    return 501
                if recipient not in self.recipients:
                    if len(self.recipients) == LIMIT:
                        return 452
                    self.recipients.append(recipient)
                return 250
            case b"DATA":
                if arg:
                    return 501
                return 354 if self.recipients else 503
        return 502

    def content(self, content: bytes) -> None:
        assert self.sender is not None
        self.accepted.append((self.sender, self.recipients, content))
        self.reset()


@settings(max_examples=120, deadline=None)
@given(st.lists(COMMANDS, max_size=25), st.integers(1, 40))
def test_dialogue(commands: list[bytes | tuple[bytes, bytes]], segment: int) -> None:
    asyncio.run(converse(commands, segment))


async def converse(commands: list[bytes | tuple[bytes, bytes]], segment: int) -> None:
    model = Model()
    async with running(max_recipients=LIMIT, max_errors=1000) as server, server.client() as client:
        await client.reply()
        for command in commands:
            line, content = (command, b"") if isinstance(command, bytes) else command
            expected = model.code(line)
            answer = await client.command(line)
            assert answer.code == expected, line
            if expected != 354:
                continue
            # What a client means to send ends in CRLF; without one, stuffing adds it.
            wire = stuffed(content) if content else b".\r\n"
            await client.send_slowly(wire, segment)
            assert (await client.reply()).code == 250
            model.content(
                content if content.endswith(b"\r\n") or not content else content + b"\r\n"
            )
        assert (await client.command("QUIT")).code == 221
        assert await client.rest() == b""
    came = [
        (
            one.mail_from.wire if one.mail_from else "",
            [r.wire for r in one.recipients],
            content_of(one),
        )
        for one in server.door.submissions
    ]
    assert came == model.accepted
