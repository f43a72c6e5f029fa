"""The upper half of a session: what the commands mean, and one Submission at the end of DATA."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar

from relay.model import Address, Client, Credential, Refusal, Submission
from relay.ports import DiskFull
from relay.settings import Listener
from relay.smtp import reply
from relay.smtp.accept import accept, observe
from relay.smtp.auth import MECHANISMS, AuthError, exchange
from relay.smtp.data import DataReader
from relay.smtp.front import Front
from relay.smtp.limits import Hold
from relay.smtp.paths import CommandError, parse_mail, parse_rcpt
from relay.smtp.reply import Reply
from relay.smtp.verbs import hello_name, is_other_protocol, is_too_long
from relay.smtp.wire import BadLine, Gone, Leave, Wire

log = logging.getLogger("relay.smtp")

AUTH_STEP_TIMEOUT = 60.0
"""Seconds for each line of an AUTH exchange."""
UNDECLARED = 65_536
"""Octets taken from the memory budget for a message whose size was not declared."""
MAX_IDLE_COMMANDS = 100
"""Commands without a mail between them; further ones count as errors (Postfix junk limit)."""


@dataclass(slots=True)
class Transaction:
    """One mail on its way from MAIL to the final dot."""

    mail_from: Address | None
    smtputf8: bool
    hold: Hold
    recipients: dict[tuple[str, str], Address] = field(default_factory=dict)
    """Keyed by local part and domain: naming one mailbox twice is one copy."""


class RelaySMTP(Wire):
    """One client's conversation."""

    def __init__(self, front: Front, listener: Listener) -> None:
        super().__init__(front, listener)
        self._ip = ""
        self._port = 0
        self._let_in = False
        self._tls: str | None = None
        self._helo: str | None = None
        self._esmtp = False
        self._credential: Credential | None = None
        self._authenticated = False
        self._auth_failures = 0
        self._errors = 0
        self._idle_commands = 0
        self._transaction: Transaction | None = None

    # --- Life --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and has finished its TLS handshake where TLS is implicit."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        # A client that has left already has no address.
        self._ip, self._port = peer[:2] if peer else ("0.0.0.0", 0)  # noqa: S104
        self._ip = self._ip.removeprefix("::ffff:")
        self._tls = _tls_words(transport)
        self._let_in = self.front.connections.enter(self._ip)
        self.front.sessions.add(self)
        self.front.observer.sessions(1)

    def connection_lost(self, error: Exception | None) -> None:
        """The client has left; a commit under way goes on without it."""
        super().connection_lost(error)
        self._end_transaction()
        if self in self.front.sessions:
            self.front.sessions.discard(self)
            self.front.observer.sessions(-1)
            if self._let_in:
                self.front.connections.leave(self._ip)

    async def _handle_client(self) -> None:
        """The session's task, started by aiosmtpd when the connection is made."""
        try:
            await self._converse()
        except Leave as leave:
            self.say(leave.reply)
        except Gone:
            pass
        except OSError:
            # Reset by the client, or no TLS after STARTTLS.
            log.debug("client=[%s] connection broken", self._ip)
        except Exception:
            # A fault of ours outside any command: nobody else would ever see it.
            self.say(reply.closing(self._incident()))
        self.close()

    def retire(self) -> None:
        """We are shutting down: say so at once when nothing is under way, else after it."""
        if self._waiting and self._transaction is None:
            self.hang_up(reply.SHUTTING_DOWN)

    @property
    def done(self) -> asyncio.Task[None]:
        """The task that ends with the session."""
        assert self._handler_coroutine is not None
        return self._handler_coroutine

    # --- Conversation ------------------------------------------------------------------------

    def _greet(self) -> None:
        if not self._let_in:
            log.warning("client=[%s] too many connections", self._ip)
            raise Leave(reply.TOO_MANY_CONNECTIONS)
        if self.front.draining:
            raise Leave(reply.SHUTTING_DOWN)
        self._credential = self.front.door.admit(self._client())
        self.say(reply.greeting(self.front.hostname))

    async def _converse(self) -> None:
        self._greet()
        while True:
            self.allow(self.command_patience)
            try:
                answer = await self._dispatch(await self.line())
            except (BadLine, CommandError) as refused:
                answer = refused.reply
            if answer is not None:
                self._answer(answer)
            if self.front.draining and self._transaction is None:
                raise Leave(reply.SHUTTING_DOWN)
            if self.outbox_full:
                await self.flush()

    async def _dispatch(self, line: bytes) -> Reply | None:
        verb, _, arg = line.partition(b" ")
        verb = verb.upper()
        command = self._COMMANDS.get(verb)
        if command is None:
            if is_other_protocol(verb, line):
                raise Leave(reply.NOT_SMTP)
            if verb == b"BDAT":
                # Its octets follow without waiting and must not be read as commands.
                raise Leave(reply.BDAT)
            return reply.UNKNOWN_COMMAND
        if is_too_long(verb, line):
            return reply.LINE_TOO_LONG
        try:
            return await command(self, arg.strip(b" "))
        except (CommandError, BadLine, Gone, Leave, OSError):
            raise
        except DiskFull:
            return reply.DISK_FULL
        except Exception:
            # Whatever fails here is ours, and passing: never a 5xx, never a word of it outside.
            return reply.trouble(self._incident())

    def _answer(self, answer: Reply) -> None:
        self.say(answer)
        if answer.is_error:
            self._count_error()

    def _count_error(self) -> None:
        self._errors += 1
        if self._errors >= self.front.settings.max_errors:
            log.warning("client=[%s] too many errors", self._ip)
            raise Leave(reply.TOO_MANY_ERRORS)

    def _count_idle_command(self) -> None:
        self._idle_commands += 1
        if self._idle_commands > MAX_IDLE_COMMANDS:
            self._count_error()

    def _incident(self) -> str:
        """Log the exception under way; returns the id that client and log share."""
        incident = self.front.new_id()
        log.exception("%s: client=[%s] session failed", incident, self._ip)
        return incident

    def _client(self) -> Client:
        return Client(
            ip=self._ip,
            port=self._port,
            helo=self._helo or "",
            listener=self.listener.name,
            esmtp=self._esmtp,
            tls=self._tls,
            credential=self._credential,
            authenticated=self._authenticated,
        )

    def _end_transaction(self) -> None:
        if self._transaction is not None:
            self._transaction.hold.release()
            self._transaction = None

    @property
    def _needs_tls(self) -> bool:
        return self.listener.tls == "starttls" and self._tls is None

    @property
    def _auth_allowed(self) -> bool:
        """Secrets go over TLS, or never leave the machine."""
        if self._tls is not None:
            return True
        return self.listener.tls == "none" and _is_loopback(self._ip)

    # --- Commands ----------------------------------------------------------------------------

    async def _ehlo(self, arg: bytes) -> Reply | None:
        self._hello(arg, esmtp=True)
        extensions = ["PIPELINING", f"SIZE {self.front.settings.max_message_bytes}"]
        if self._needs_tls:
            extensions.append("STARTTLS")
        if self._auth_allowed:
            extensions.append(f"AUTH {' '.join(MECHANISMS)}")
        extensions += ["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        self.say(reply.hello(self.front.hostname, tuple(extensions)))
        return None

    async def _helo_command(self, arg: bytes) -> Reply | None:
        self._hello(arg, esmtp=False)
        self.say(reply.hello(self.front.hostname))
        return None

    def _hello(self, arg: bytes, *, esmtp: bool) -> None:
        if not arg:
            raise CommandError(reply.HELLO_SYNTAX)
        self._count_idle_command()
        # RFC 5321 section 4.1.4: it also resets; a name that is none must not get into headers.
        self._helo = hello_name(arg)
        self._esmtp = esmtp
        self._end_transaction()

    async def _mail(self, arg: bytes) -> Reply:
        if self._helo is None:
            return reply.HELLO_FIRST
        if self._needs_tls:
            return reply.TLS_REQUIRED
        if self._credential is None:
            return reply.AUTH_REQUIRED
        if self._transaction is not None:
            return reply.NESTED_MAIL
        command = parse_mail(arg)
        if command.size > self.front.settings.max_message_bytes:
            return reply.TOO_LARGE
        refusal = self.front.door.check_sender(self._client(), command.path, command.size)
        if refusal is not None:
            return reply.fold(refusal, self.front.public_url)
        hold = self.front.memory.hold(command.size or UNDECLARED)
        if hold is None:
            return reply.TOO_BUSY
        self._transaction = Transaction(command.path, command.smtputf8, hold)
        return reply.SENDER_OK

    async def _rcpt(self, arg: bytes) -> Reply:
        transaction = self._transaction
        if transaction is None:
            return reply.MAIL_FIRST
        command = parse_rcpt(arg, self.front.hostname, smtputf8=transaction.smtputf8)
        mailbox = (command.path.local, command.path.domain)
        recipients = transaction.recipients
        if mailbox not in recipients and len(recipients) >= self.front.settings.max_recipients:
            return reply.TOO_MANY_RECIPIENTS
        recipients.setdefault(mailbox, command.path)
        return reply.RECIPIENT_OK

    async def _data(self, arg: bytes) -> Reply | None:
        if self._inbox:
            # RFC 2920 section 3.1: DATA is the last of a group, its content waits for 354. Content
            # sent blindly comes from something that does not speak SMTP.
            raise Leave(reply.EARLY_DATA)
        if arg:
            return reply.NO_ARGUMENT_ALLOWED
        transaction = self._transaction
        if transaction is None:
            return reply.MAIL_FIRST
        if not transaction.recipients:
            return reply.RECIPIENT_FIRST
        self.say(reply.START_DATA)
        try:
            reader = await self._read_content(transaction.hold)
        except (Gone, OSError, asyncio.CancelledError):
            self.front.observer.message(self.listener.name, "aborted", 0.0)
            raise
        self.suspend_deadline()
        if reader.discarding:
            self._end_transaction()
            answer = reply.TOO_LARGE if reader.too_large else reply.TOO_BUSY
            observe(self.front, self.listener.name, answer, 0.0)
            return answer
        return await self._commit(transaction, *reader.take())

    async def _read_content(self, hold: Hold) -> DataReader:
        settings = self.front.settings
        reader = DataReader(settings.max_message_bytes)
        self.allow(settings.data_timeout)
        while True:
            chunk = await self.receive()
            rest = reader.feed(chunk)
            if not hold.grow(reader.held):
                reader.discard()
                hold.release()
            if rest is not None:
                self.unread(rest)
                return reader
            self.extend(len(chunk), settings.data_min_rate, settings.data_timeout)

    async def _commit(self, transaction: Transaction, header: bytes, body: bytes) -> Reply | None:
        """Hand the transaction over, in a task of its own that outlives client and timer."""
        submission = Submission(
            id=self.front.new_id(),
            at=self.front.clock.now(),
            client=self._client(),
            mail_from=transaction.mail_from,
            recipients=tuple(transaction.recipients.values()),
            header=header,
            body=body,
            smtputf8=transaction.smtputf8,
        )
        del header, body
        self._transaction = None
        task = self.front.tasks.start(
            accept(self.front, submission, transaction.hold), f"accept {submission.id}"
        )
        del submission
        try:
            answer: Reply = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                # Shutdown would not wait any longer: whether it is stored is not known.
                raise Leave(reply.SHUTTING_DOWN) from None
            raise
        if answer.code < 300:
            self._errors = 0
            self._idle_commands = 0
        # What the rulebooks say of a mail is no error in the conversation: it does not count.
        self.say(answer)
        return None

    async def _rset(self, arg: bytes) -> Reply:
        if arg:
            return reply.NO_ARGUMENT_ALLOWED
        self._count_idle_command()
        self._end_transaction()
        return reply.OK

    async def _noop(self, arg: bytes) -> Reply:
        self._count_idle_command()
        return reply.OK

    async def _vrfy(self, arg: bytes) -> Reply:
        # RFC 5321 section 7.3: a server that tells nothing says 252.
        self._count_idle_command()
        return reply.VRFY

    async def _unoffered(self, arg: bytes) -> Reply:
        return reply.UNKNOWN_COMMAND

    async def _quit(self, arg: bytes) -> Reply:
        raise Leave(reply.BYE)

    async def _starttls(self, arg: bytes) -> Reply | None:
        if arg:
            return reply.NO_ARGUMENT_ALLOWED
        if self._tls is not None:
            return reply.TLS_ACTIVE
        if self.listener.tls != "starttls":
            return reply.NO_STARTTLS
        self._end_transaction()
        self.say(reply.TLS_READY)
        await self.flush()
        self.suspend_deadline()
        await self.start_tls()
        assert self.transport is not None
        self._tls = _tls_words(self.transport)
        # RFC 3207 section 4.2: whatever the client said in the clear is forgotten.
        self._helo = None
        return None

    async def _auth(self, arg: bytes) -> Reply | None:
        if self._helo is None or not self._esmtp:
            return reply.EHLO_FIRST
        if not self._auth_allowed:
            return reply.AUTH_NEEDS_TLS
        if self._authenticated:
            return reply.ALREADY_AUTHENTICATED
        if self._transaction is not None:
            return reply.AUTH_IN_TRANSACTION
        try:
            proof = await exchange(arg, self._ask)
        except AuthError as failed:
            return await self._wrong_password("") if failed.counts else failed.reply
        self.suspend_deadline()
        answer = await self.front.door.authenticate(proof.username, proof.secret, self._client())
        if answer is None:
            return await self._wrong_password(proof.username)
        if isinstance(answer, Refusal):
            return reply.fold(answer, self.front.public_url)
        self._credential = answer
        self._authenticated = True
        return reply.AUTHENTICATED

    async def _ask(self, prompt: str) -> bytes:
        self.say(reply.challenge(prompt))
        self.allow(AUTH_STEP_TIMEOUT)
        try:
            return await self.line()
        except BadLine as error:
            raise AuthError(reply.AUTH_LINE_TOO_LONG) from error

    async def _wrong_password(self, account: str) -> Reply | None:
        self._auth_failures += 1
        self.front.observer.auth_failed(self.listener.name)
        # Neither user name nor secret: people type the one into the field of the other.
        log.warning("client=[%s] authentication failed", self._ip)
        self.suspend_deadline()
        wait = self.front.wrong_passwords.wrong(self._ip, account)
        if wait:
            await asyncio.sleep(wait)
        self._answer(reply.AUTH_FAILED)
        if self._auth_failures >= self.front.settings.max_auth_failures:
            raise Leave(reply.TOO_MANY_AUTH_FAILURES)
        return None

    _COMMANDS: ClassVar[dict[bytes, Callable[[RelaySMTP, bytes], Awaitable[Reply | None]]]] = {
        b"EHLO": _ehlo,
        b"HELO": _helo_command,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"QUIT": _quit,
        b"VRFY": _vrfy,
        b"EXPN": _unoffered,
        b"HELP": _unoffered,
        b"STARTTLS": _starttls,
        b"AUTH": _auth,
    }


def _tls_words(transport: asyncio.BaseTransport) -> str | None:
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    cipher = tls.cipher()
    return f"{tls.version()} {cipher[0] if cipher else 'unknown'}"


def _is_loopback(ip: str) -> bool:
    return ip.startswith("127.") or ip == "::1"
