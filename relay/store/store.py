"""The store as a whole: opened once, by one process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from relay import settings as configuration
from relay.decide.keys import subject_keys
from relay.model import Address, Directory, SubjectKeys
from relay.ports import Clock, NewEvent, StoreTrouble
from relay.store.backup import BODIES, DATABASE, JOURNAL, clear_snapshots, write_backup
from relay.store.directory import Registry
from relay.store.erasure.erasure import Erasure
from relay.store.erasure.scrub import Scrub
from relay.store.idempotency import IdempotencyKeys
from relay.store.ledger.heads import Heads
from relay.store.ledger.ledger import Ledger
from relay.store.ledger.proofs import Proofs
from relay.store.mail.bodies import BodyFiles
from relay.store.mail.held import Held
from relay.store.mail.mail import Mail
from relay.store.notices import NoticeLog
from relay.store.outbox.inbound_hooks import InboundHooks
from relay.store.outbox.one_click import OneClickUrls
from relay.store.outbox.outbox import Outbox
from relay.store.outbox.webhooks import Webhooks
from relay.store.people.acceptances import Acceptances
from relay.store.people.ageing import Ageing
from relay.store.people.changes import Changes
from relay.store.people.consents import Consents
from relay.store.people.imports import Imports
from relay.store.people.notice_versions import NoticeVersions
from relay.store.people.own_events import OwnEvents
from relay.store.people.person_mails import PersonMails
from relay.store.people.recordings import Recordings
from relay.store.people.signups import SignUps
from relay.store.schema_version import migrate
from relay.store.sqlite.disk import RESERVE_BYTES, Reserve, free_bytes
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.generation import Generation
from relay.store.sqlite.glance import Glance
from relay.store.sqlite.journal import Journal
from relay.store.sqlite.lock import LOCK, StoreLock
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader


def _lock(data_dir: Path) -> StoreLock:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return StoreLock(data_dir / LOCK)
    except OSError as error:
        raise StoreTrouble(f"the data directory {data_dir} cannot be used: {error}") from error


class Store:
    """All that is kept. Made by ``open``; one process holds it at a time."""

    def __init__(
        self,
        data_dir: Path,
        settings: configuration.Store,
        clock: Clock,
        pepper: bytes,
        reserve_bytes: int,
        lock: StoreLock,
    ) -> None:
        self.data_dir: Final = data_dir
        self._pepper: Final = pepper
        self._lock: Final = lock
        self._closed = False
        self._clock: Final = clock
        generation = Generation()
        self._heads: Final = Heads(data_dir, settings.heads_copy)
        self._journal: Final = Journal(data_dir / JOURNAL)
        self._reserve: Final = Reserve(data_dir / "reserve", reserve_bytes, settings.min_free_bytes)
        self.files: Final = BodyFiles(data_dir / BODIES)
        self.consents: Final = Consents(generation)
        self.outbox: Final = Outbox(clock)
        self.webhooks: Final = Webhooks()
        self.one_click_urls: Final = OneClickUrls()
        self.ledger: Final = Ledger(self._heads, clock, self._project)
        self.proofs: Final = Proofs(self._heads)
        self.erasure: Final = Erasure(generation)
        self.imports: Final = Imports(generation, self.erasure)
        self.scrub: Final = Scrub(data_dir)
        self.person_mails: Final = PersonMails()
        self.own_events: Final = OwnEvents()
        self.notices: Final = NoticeLog()
        self.notice_versions: Final = NoticeVersions()
        self.signups: Final = SignUps(lambda: self.directory)
        self.acceptances: Final = Acceptances()
        self.recordings: Final = Recordings()
        self.inbound_hooks: Final = InboundHooks()
        self.changes: Final = Changes()
        self.ageing: Final = Ageing()
        self.held: Final = Held()
        self.idempotency: Final = IdempotencyKeys()
        self.registry: Final = Registry(generation)
        self.mail: Final = Mail(
            self.files,
            self.ledger,
            clock,
            large_body=settings.large_body,
            exact_key=lambda address: subject_keys(pepper, address).exact,
        )
        path = data_dir / DATABASE
        self.writer: Final = Writer(
            path,
            wait=settings.wait,
            clock=clock,
            journal=self._journal,
            reserve=self._reserve,
            prepare=self._prepare,
            tick=self.ledger.tick,
        )
        self._readers: Final = tuple(
            Reader(path, wait=settings.wait, clock=clock) for _ in range(2)
        )

        self._glance: Final = Glance(path, self._readers[0])

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        *,
        settings: configuration.Store,
        clock: Clock,
        pepper: bytes,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Store:
        """Open, or make, the store in ``data_dir``.

        Raises StoreTrouble: another process has it, it is no store, it is locked, it was made by
        a newer release, or the directory cannot be used.
        """
        lock = _lock(data_dir)
        try:
            store = cls(data_dir, settings, clock, pepper, reserve_bytes, lock)
        except OSError as error:
            lock.release()
            raise StoreTrouble(f"the data directory {data_dir} cannot be used: {error}") from error
        except StoreTrouble:
            lock.release()
            raise
        try:
            await store._start()
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def directory(self) -> Directory:
        """Tenants and what belongs to them, as last committed."""
        return self.registry.snapshot

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now; None when all is well."""
        return self.writer.trouble

    @property
    def healthy(self) -> bool:
        """Whether mail can be taken, as far as the store goes."""
        return self.trouble is None

    def free_bytes(self) -> int:
        """Octets left on the disk."""
        return free_bytes(self.data_dir)

    def keys(self, address: Address) -> SubjectKeys:
        """The keys under which a person is known."""
        return subject_keys(self._pepper, address)

    async def backup(self, path: Path) -> None:
        """Write store, keys, pepper, opt-out journal and body files into one new tar file, while
        mail goes on. Raises StoreTrouble; FileExistsError when ``path`` is there already."""
        await asyncio.to_thread(write_backup, self.data_dir, path, self.files)

    async def close(self) -> None:
        """Finish what is queued and let the next process in. Closing twice is once."""
        if self._closed:
            return
        self._closed = True
        self._glance.close()
        for reader in self._readers:
            await reader.close()
        await self.writer.close()
        self.mail.close()
        self._reserve.release()
        self._journal.close()
        self._heads.close()
        self._lock.release()

    async def _start(self) -> None:
        reader, slow = self._readers
        self.ledger.attach(self.writer, slow)
        self.proofs.attach(slow)
        self.consents.attach(self.writer, reader, slow, self._glance, self.ledger)
        self.imports.attach(self.writer, self.ledger)
        self.registry.attach(self.writer)
        self.notices.attach(self.writer)
        self.notice_versions.attach(self.writer, reader, self.ledger)
        self.signups.attach(self.writer, reader, self.ledger)
        self.outbox.attach(self.writer, slow)
        self.webhooks.attach(self.writer, slow)
        self.one_click_urls.attach(self.writer)
        self.erasure.attach(self.writer, slow, self.ledger, self.files)
        self.scrub.attach(self.writer)
        self.person_mails.attach(self.writer)
        self.own_events.attach(slow)
        self.acceptances.attach(self.writer, slow, self.ledger)
        self.recordings.attach(self.writer, self.ledger)
        self.inbound_hooks.attach(self.writer, slow, self._glance)
        self.changes.attach(slow)
        self.ageing.attach(slow)
        self.held.attach(slow)
        self.idempotency.attach(self.writer, slow)
        self.mail.attach(self.writer, reader, slow)
        await self.writer.open()
        await self.writer.write(self._tidy, essential=True)

    def _project(self, tx: Transaction, number: int, event: NewEvent) -> None:
        self.consents.project(tx, number, event)
        self.outbox.project(tx, number, event)

    def _prepare(self, tx: Transaction) -> None:
        migrate(tx.connection)
        self.ledger.load(tx)
        self.consents.load(tx)
        self.registry.load(tx)
        self.mail.load(tx)
        self.ledger.begin(tx)

    def _tidy(self, tx: Transaction) -> None:
        self.imports.give_up_abandoned(tx)
        clear_snapshots(self.data_dir)
        self.mail.sweep(tx)
