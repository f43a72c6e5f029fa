"""SMTP transactions on one connection, octet for octet.

The transaction writer is ours and not aiosmtplib's, which parses addresses anew (and so may send
to another mailbox than the one that consented), turns lone CR into line breaks after the message
was signed, refuses the null reverse-path in its address functions, and does not pipeline. Here
addresses and content go out as they are; what must not go out is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.egress.replies import MAX_TEXT, Reply, sanitise
from relay.egress.session import Session
from relay.egress.stuffing import stuffed
from relay.egress.wire import GO_AHEAD, Broken, Wire
from relay.model import Outcome, Receipt
from relay.ports import Envelope
from relay.settings import Upstream

RSET, DATA = b"RSET\r\n", b"DATA\r\n"
NOT_ABOUT_THIS_MAIL = frozenset({503, 530, 535, 538})
"""Permanent codes that speak of the session wherever they come (order, AUTH, TLS)."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """How one transaction ended."""

    receipts: tuple[Receipt, ...]
    """One per recipient of the envelope, in order."""
    answered: bool
    """False when the upstream went away or said 421: it is not only this mail that fails."""
    repeatable: bool
    """True when it failed with the connection and the final dot was never sent, so that doing it
    again cannot deliver twice."""


class _Closing(Exception):
    """The upstream said 421 and closes the connection (RFC 5321 3.8)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Connection:
    """One session that carries transactions one after another."""

    def __init__(self, session: Session, settings: Upstream) -> None:
        self.relay = session.relay
        self.transactions = 0
        self._wire: Wire = session.wire
        self._offers = session.offers
        self._command = settings.command_timeout
        self._final = settings.final_timeout
        self._dirty = False
        """A transaction was left open: RSET comes before the next."""
        self._dotted = False

    @property
    def usable(self) -> bool:
        """True when another transaction may be tried."""
        return not self._wire.broken

    async def alive(self, seconds: float) -> bool:
        """Ask with NOOP whether the upstream still listens, and hears us within ``seconds``."""
        try:
            self._wire.expect(1)
            self._wire.write(b"NOOP\r\n")
            return (await self._next_reply(seconds)).positive
        except (Broken, _Closing):
            return False

    async def quit(self, seconds: float) -> None:
        """Say QUIT and give the upstream ``seconds`` to close."""
        try:
            self._wire.expect(1)
            self._wire.write(b"QUIT\r\n")
            await self._wire.reply(seconds)
        except Broken:
            pass
        finally:
            self.abort("session ended")

    def abort(self, why: str) -> None:
        """Drop the connection at once; an unfinished transaction is thereby undone."""
        self._wire.abort(why)

    async def transact(self, envelope: Envelope, content: Sequence[bytes]) -> Transaction:
        """Carry one message to all recipients of ``envelope``; never raises for the network."""
        self.transactions += 1
        self._dotted = False
        receipts = self._unsendable(envelope, content)
        answered = True
        try:
            await self._dialogue(envelope, content, receipts)
        except _Closing as closing:
            self.abort("upstream said 421")
            answered = False
            _fill(receipts, self._receipt(closing.reply))
        except Broken as error:
            answered = False
            _fill(receipts, self._lost(str(error)))
        except BaseException:
            # Cancelled: without the final dot nothing of it counts (RFC 5321 4.1.1.4).
            self.abort("given up")
            raise
        assert all(receipt is not None for receipt in receipts)
        return Transaction(
            tuple(receipt for receipt in receipts if receipt is not None),
            answered=answered,
            repeatable=not answered and not self._dotted,
        )

    # --- what we do not even try -----------------------------------------------------------------

    def _unsendable(self, envelope: Envelope, content: Sequence[bytes]) -> list[Receipt | None]:
        """A receipt for each recipient that this upstream cannot be asked for."""
        whole: tuple[str, str] | None = None
        limit = self._offers.get("SIZE", "").partition(" ")[0]
        if not _is_safe(envelope.mail_from):
            whole = "5.1.7", "sender address holds octets that no SMTP command may carry"
        elif envelope.eight_bit and "8BITMIME" not in self._offers:
            whole = "5.6.3", "the next server takes no 8-bit content and it may not be converted"
        elif limit.isdecimal() and 0 < int(limit) < envelope.size:
            whole = "5.3.4", f"message of {envelope.size} octets; the next server takes {limit}"
        elif not self._speaks_utf8 and envelope.smtputf8 and not _ascii_header(content):
            whole = "5.6.7", "the next server does not take internationalised header fields"
        elif not self._speaks_utf8 and not envelope.mail_from.isascii():
            whole = "5.6.7", "the next server does not take internationalised addresses"
        if whole is not None:
            return [self._refused(*whole)] * len(envelope.recipients)
        return [self._bad_recipient(recipient) for recipient in envelope.recipients]

    def _bad_recipient(self, recipient: str) -> Receipt | None:
        if not recipient or not _is_safe(recipient):
            return self._refused(
                "5.1.3", "recipient address holds octets that no SMTP command may carry"
            )
        if not recipient.isascii() and not self._speaks_utf8:
            return self._refused(
                "5.6.7", "the next server does not take internationalised addresses"
            )
        return None

    @property
    def _speaks_utf8(self) -> bool:
        return "SMTPUTF8" in self._offers

    # --- the dialogue ----------------------------------------------------------------------------

    async def _dialogue(
        self, envelope: Envelope, content: Sequence[bytes], receipts: list[Receipt | None]
    ) -> None:
        """Fill in ``receipts``. Raises Broken or _Closing; what is known by then stays."""
        asked = [i for i, receipt in enumerate(receipts) if receipt is None]
        if not asked:
            return
        mail = self._mail_command(envelope, content)
        rcpts = [b"RCPT TO:<" + envelope.recipients[i].encode("utf-8") + b">\r\n" for i in asked]
        pipelined = "PIPELINING" in self._offers
        if pipelined:
            # RFC 2920 3.1: all of it in one flight, DATA last; the replies come in this order.
            commands = [RSET] * self._dirty + [mail, *rcpts, DATA]
            self._wire.expect(len(commands))
            self._wire.write(b"".join(commands))

        async def answer(command: bytes) -> Reply:
            reply = await (self._next_reply() if pipelined else self._ask(command))
            if reply.code // 100 == 3 and command != DATA:
                self.abort("out of step")
                raise Broken(f"upstream is out of step: {reply.text}")
            return reply

        if self._dirty and not (await answer(RSET)).positive:
            self.abort("RSET refused")
            raise Broken("upstream refused RSET")
        self._dirty = True
        opened = await answer(mail)
        taken: list[int] = []
        for index, rcpt in zip(asked, rcpts, strict=True):
            if not pipelined and not opened.positive:
                break
            reply = await answer(rcpt)
            if reply.positive:
                taken.append(index)
            elif opened.positive:
                receipts[index] = self._receipt(_as_rcpt(reply))
        if not opened.positive:
            _fill(receipts, self._receipt(opened, at_mail=True))
        if not pipelined and not (opened.positive and taken):
            return
        ready = await answer(DATA)
        if ready.code == GO_AHEAD:
            await self._data(content, taken if opened.positive else None, receipts)
        elif ready.code // 100 in (4, 5):
            _fill(receipts, self._receipt(ready))
        else:
            self.abort("out of step")
            raise Broken(f"upstream answered DATA with: {ready.text}")

    async def _data(
        self, content: Sequence[bytes], taken: list[int] | None, receipts: list[Receipt | None]
    ) -> None:
        """After 354. ``taken`` is None when MAIL itself had been refused."""
        if taken is None:
            # An upstream that says 354 to a transaction it never opened may hold recipients for
            # an empty message: only closing takes that back.
            self.abort("354 although MAIL was refused")
            return
        if not taken:
            # RFC 2920 3.1: DATA was pipelined behind recipients of which none was taken.
            self._wire.write(b".\r\n")
            await self._next_reply()
            return
        reply = await self._send_content(content)
        if reply.code // 100 not in (2, 4, 5):
            self.abort("out of step")
            raise Broken(f"upstream answered the final dot with: {reply.text}")
        self._dirty = not reply.positive
        _fill(receipts, self._receipt(reply))

    async def _send_content(self, content: Sequence[bytes]) -> Reply:
        pieces = stuffed(content)
        piece: bytes | None = next(pieces)
        while piece is not None:
            if self._wire.answered:
                # Some servers refuse in the middle of the content. The rest is not sent, so the
                # connection is of no more use; but the answer counts, unless it claims success.
                reply = await self._next_reply()
                self.abort("answer before the final dot")
                if reply.positive:
                    raise Broken(f"upstream accepted before the final dot: {reply.text}")
                return reply
            following = next(pieces, None)
            self._wire.write(piece)
            self._dotted = following is None
            await self._wire.flushed(self._command)
            piece = following
        return await self._next_reply(self._final)

    def _mail_command(self, envelope: Envelope, content: Sequence[bytes]) -> bytes:
        command = b"MAIL FROM:<" + envelope.mail_from.encode("utf-8") + b">"
        if "SIZE" in self._offers:
            command += b" SIZE=%d" % envelope.size
        if envelope.eight_bit:
            command += b" BODY=8BITMIME"
        if self._speaks_utf8 and not (
            all(path.isascii() for path in (envelope.mail_from, *envelope.recipients))
            and (not envelope.smtputf8 or _ascii_header(content))
        ):
            command += b" SMTPUTF8"
        return command + b"\r\n"

    async def _ask(self, command: bytes) -> Reply:
        self._wire.expect(1)
        self._wire.write(command)
        return await self._next_reply()

    async def _next_reply(self, seconds: float | None = None) -> Reply:
        reply = await self._wire.reply(self._command if seconds is None else seconds)
        if reply.code == 421:
            raise _Closing(reply)
        return reply

    # --- receipts --------------------------------------------------------------------------------

    def _receipt(self, reply: Reply, *, at_mail: bool = False) -> Receipt:
        if reply.positive:
            outcome = Outcome.DELIVERED
        elif reply.permanent and not at_mail and reply.code not in NOT_ABOUT_THIS_MAIL:
            outcome = Outcome.REFUSED
        else:
            outcome = Outcome.DEFERRED
        deferred = outcome is Outcome.DEFERRED
        return Receipt(
            outcome,
            reply.code,
            "4" + reply.enhanced[1:] if deferred else reply.enhanced,
            reply.text,
            self.relay,
            our_trouble=deferred and reply.code // 100 != 4,
        )

    def _refused(self, enhanced: str, text: str) -> Receipt:
        return Receipt(Outcome.REFUSED, 0, enhanced, text, self.relay)

    def _lost(self, text: str) -> Receipt:
        if self._dotted:
            text = f"outcome unknown, {text} after the final dot: it may arrive twice"
        return Receipt(Outcome.DEFERRED, 0, "4.4.2", sanitise(text)[:MAX_TEXT], self.relay)


def _as_rcpt(reply: Reply) -> Reply:
    """RFC 5321 4.5.3.1.10: 552 at RCPT means too many recipients, and is to be taken as 452."""
    if reply.code != 552 or reply.enhanced == "5.2.2":
        return reply
    return replace(reply, code=452)


def _fill(receipts: list[Receipt | None], receipt: Receipt) -> None:
    for index, known in enumerate(receipts):
        if known is None:
            receipts[index] = receipt


def _is_safe(path: str) -> bool:
    """No control octet (CR, LF, NUL and the rest): one would end the command or worse."""
    return not any(c < " " or "\x7f" <= c <= "\x9f" for c in path)


def _ascii_header(content: Sequence[bytes]) -> bool:
    """Whether the header block needs no RFC 6532; unsure counts as no."""
    for chunk in content:
        end = chunk.find(b"\r\n\r\n")
        if not (chunk if end < 0 else chunk[:end]).isascii():
            return False
        if end >= 0:
            break
    return True
