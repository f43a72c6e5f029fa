"""The AUTH exchange, up to a user name and a secret."""

from __future__ import annotations

import base64

import pytest

from relay.smtp import reply
from relay.smtp.auth import AuthError, Proof, exchange
from relay.smtp.reply import Reply


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


async def run(arg: bytes, *answers: bytes) -> tuple[Proof, list[str]]:
    asked: list[str] = []
    left = list(answers)

    async def ask(prompt: str) -> bytes:
        asked.append(prompt)
        return left.pop(0)

    return await exchange(arg, ask), asked


@pytest.mark.parametrize(
    ("arg", "answers", "asked"),
    [
        (b"PLAIN " + b64(b"\0shop\0s3cret"), (), []),
        (b"plain", (b64(b"\0shop\0s3cret"),), [""]),
        (b"PLAIN " + b64(b"shop\0shop\0s3cret"), (), []),
        (b"LOGIN", (b64(b"shop"), b64(b"s3cret")), ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"]),
        (b"login " + b64(b"shop"), (b64(b"s3cret"),), ["UGFzc3dvcmQ6"]),
    ],
)
async def test_who_and_what(arg: bytes, answers: tuple[bytes, ...], asked: list[str]) -> None:
    assert await run(arg, *answers) == (Proof("shop", "s3cret"), asked)


@pytest.mark.parametrize(
    ("arg", "answers", "answer", "counts"),
    [
        (b"", (), reply.AUTH_SYNTAX, False),
        (b"PLAIN a b", (), reply.AUTH_SYNTAX, False),
        (b"CRAM-MD5", (), reply.AUTH_UNKNOWN, False),
        (b"PLAIN !", (), reply.AUTH_UNDECODABLE, False),
        (b"PLAIN =", (), reply.AUTH_UNDECODABLE, False),
        (b"PLAIN " + b64(b"shop\0s3cret"), (), reply.AUTH_UNDECODABLE, False),
        (b"PLAIN", (b"*",), reply.AUTH_CANCELLED, False),
        (b"LOGIN", (b64(b"shop"), b"*"), reply.AUTH_CANCELLED, False),
        (b"PLAIN " + b64(b"admin\0shop\0s3cret"), (), reply.AUTH_FAILED, True),
        (b"PLAIN " + b64(b"\0\xff\0s3cret"), (), reply.AUTH_FAILED, True),
    ],
)
async def test_failures(
    arg: bytes, answers: tuple[bytes, ...], answer: Reply, counts: bool
) -> None:
    with pytest.raises(AuthError) as caught:
        await run(arg, *answers)
    assert (caught.value.reply, caught.value.counts) == (answer, counts)


def test_a_proof_does_not_show_itself() -> None:
    assert "s3cret" not in f"{Proof('shop', 's3cret')!r}"
