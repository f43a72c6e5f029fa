r"""Scripted SMTP dialogues: one conversation a file, readable next to RFC 5321.

    # a comment
    set bare_newlines = reject         a setting of [smtp] for this server
    door network = none                no credential by network
    C: EHLO client.test                send a line with CRLF
    C| raw octets\r\n                   send exactly these octets, in a segment of their own
    1| raw octets\r\n                   the same, one octet a segment
    S: 250 2.1.0 Ok                    the next reply line is this
    S~ 250 2\.0\.0 Ok: \S+ sent=1      the next reply line matches this expression
    closed                             the server has closed the connection, and said no more
    accepted 1                         so many messages came through
    content Hello\r\n                   the last one has these octets
    from a@x.test / to b@y.test        its envelope (``from <>`` is the null sender)

Escapes in ``C|``, ``1|`` and ``content``: \r \n \t \0 \\ \xNN, and \*N{...} repeats.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import replace
from pathlib import Path

from tests.dialogs.door import RecordingDoor, content_of, running

_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))")
_REPEAT = re.compile(rb"\\\*(\d+)\{(.*?)\}")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def octets(text: str) -> bytes:
    """The octets that an escaped text stands for."""
    raw = _REPEAT.sub(lambda match: match[2] * int(match[1]), text.encode())
    return _ESCAPE.sub(
        lambda match: bytes.fromhex(match[1].decode()) if match[1] else _PLAIN[match[2]], raw
    )


def _value(text: str) -> object:
    return int(text) if text.isdigit() else text


def _steps(script: Path) -> list[tuple[int, str]]:
    return [
        (number, line)
        for number, line in enumerate(script.read_text("utf-8").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]


async def play(script: Path) -> None:
    """Run one script against a server of its own; raises AssertionError naming the line."""
    lines = _steps(script)
    settings: dict[str, object] = {}
    door = RecordingDoor()
    while lines[0][1].startswith(("set ", "door ")):
        word, key, _, value = shlex.split(lines.pop(0)[1])
        if word == "set":
            settings[key] = _value(value)
        else:
            assert (key, value) == ("network", "none")
            door = replace(door, network=None)
    async with running(door, **settings) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        try:
            for number, line in lines:
                try:
                    await _step(line, reader, writer, door)
                except AssertionError as error:
                    raise AssertionError(f"{script.name}:{number}: {line}\n{error}") from error
        finally:
            writer.transport.abort()


async def _step(
    line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: RecordingDoor
) -> None:
    word, _, rest = line.partition(" ")
    match word:
        case "C:":
            writer.write(rest.encode() + b"\r\n")
        case "C|":
            writer.write(octets(rest))
        case "1|":
            for octet in octets(rest):
                writer.write(bytes((octet,)))
                await asyncio.sleep(0)
        case "S:":
            got = (await reader.readline()).decode()
            assert got == f"{rest}\r\n", f"got {got!r}"
        case "S~":
            got = (await reader.readline()).decode()
            assert re.fullmatch(rest, got.removesuffix("\r\n")), f"got {got!r}"
        case "closed":
            got_octets = await reader.read()
            assert got_octets == b"", f"got {got_octets!r}"
        case "accepted":
            assert len(door.submissions) == int(rest), f"{len(door.submissions)} were"
        case "content":
            got_octets = content_of(door.submissions[-1])
            assert got_octets == octets(rest), got_octets
        case "from":
            sender = door.submissions[-1].mail_from
            assert (sender.wire if sender else "<>") == rest, f"got {sender}"
        case "to":
            got_list = [str(recipient) for recipient in door.submissions[-1].recipients]
            assert got_list == rest.split(), f"got {got_list}"
        case _:
            raise AssertionError(f"no such step: {word}")
