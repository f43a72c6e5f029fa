"""What all sessions of one server share, and whom they report to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from relay.ports import Clock, Door
from relay.settings import Smtp
from relay.smtp.limits import ConnectionLimits, MemoryBudget, WrongPasswords

if TYPE_CHECKING:
    from relay.smtp.session import RelaySMTP


class Observer(Protocol):
    """Counts what happens at the door (``relay.observe``); no call may raise or block."""

    def sessions(self, delta: int) -> None:
        """A session began (1) or ended (-1)."""

    def message(self, listener: str, result: str, seconds: float) -> None:
        """A transaction reached DATA: ``accepted``, ``refused``, ``deferred`` or ``aborted``.

        ``seconds`` go from the end of DATA to the reply; 0 for ``aborted``.
        """

    def auth_failed(self, listener: str) -> None:
        """A wrong user name or secret."""


class Starter(Protocol):
    """Runs coroutines that outlive a session (``relay.tasks.Tasks``)."""

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``coroutine`` in the background under ``name``; shutdown waits for it."""


@dataclass(slots=True, kw_only=True)
class Front:
    """One server's shared state; made by ``SmtpServer``, read by its sessions."""

    settings: Smtp
    hostname: str
    public_url: str
    door: Door
    clock: Clock
    tasks: Starter
    new_id: Callable[[], str]
    observer: Observer
    connections: ConnectionLimits
    memory: MemoryBudget
    wrong_passwords: WrongPasswords
    tls: ssl.SSLContext | None = None
    draining: bool = False
    sessions: set[RelaySMTP] = field(default_factory=set)
