"""Composition root: from settings to a running relay and back, in one straight line.

Nothing below knows how the parts were put together; nothing above knows what they are.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from relay.api.app import api_app
from relay.api.services import Services
from relay.clock import SystemClock
from relay.consent.services import wire_consent
from relay.decide.rulebook import RulebookError
from relay.egress import dsn, retry
from relay.egress.delivery import DeliveryLoop
from relay.egress.signer import ThreadedSigner
from relay.egress.upstream import UpstreamPool
from relay.ids import QueueIds
from relay.model import Copy, Directory, Reason, Receipt, Tenant
from relay.observe import logs
from relay.observe.fates import Fates
from relay.observe.lag import watch_lag
from relay.observe.metrics import Metrics, Sources
from relay.operate import keyfiles
from relay.operate.context import Context
from relay.operate.control import ControlServer
from relay.operate.housekeeping import Housekeeping
from relay.operate.operations import OPERATIONS
from relay.operate.wiring import wire_judging
from relay.pipeline.accept import Acceptance
from relay.pipeline.deliver import Delivery
from relay.pipeline.generated import Generated
from relay.pipeline.notices import Notices
from relay.ports import CopyChange, StoreTrouble, Waiting
from relay.rulebooks import Rulebooks
from relay.settings import Settings
from relay.settings_file import SettingsError, load
from relay.smtp.server import ListenerError, SmtpServer
from relay.store.mail.mail import Counts
from relay.store.store import Store
from relay.tasks import Tasks
from relay.throttle.gcra import GcraThrottle
from relay.throttle.scheduler import Scheduler
from relay.throttle.spec import Spec, parse
from relay.web.hooks import hook_routes
from relay.web.metrics import metrics_app
from relay.web.public import public_app
from relay.web.server import WebServer
from relay.web.visitors import Visitors

log = logging.getLogger("relay.app")

CONTROL_SOCKET = "control.sock"
FIXED = (
    "smtp",
    "upstream",
    "http",
    "hostname",
    "data_dir",
    "store",
    "event_loop",
    "outbound",
    "api",
)
"""Settings that are what they were at the start; a reload only says that they have changed."""
LAST_MOMENT = 5.0
"""Seconds that commits under way get after everything else has stopped."""


class Relay:
    """One relay: opened, started, reloaded, drained."""

    def __init__(
        self,
        settings: Settings,
        file: Path,
        keys: keyfiles.Keys,
        store: Store,
        rulebooks: Rulebooks,
    ) -> None:
        """Wire the parts around an open store; nothing listens and nothing runs yet."""
        self.settings = settings
        self._file = file
        self._state = "starting"
        self._periodic: list[asyncio.Task[object]] = []
        self._clock = clock = SystemClock()
        self.tasks = tasks = Tasks()
        self.store = store
        new_id = QueueIds(clock)

        def directory() -> Directory:
            return store.directory

        # What is seen of it.
        self.metrics = Metrics(importlib.metadata.version("consent-relay"))
        fates = Fates(self.metrics, directory, clock)

        # When copies may go, and how they leave.
        self._throttle = throttle = GcraThrottle(self._tenant_rate, self._domain_rate)
        self._scheduler = Scheduler(throttle)
        self._upstream = UpstreamPool(settings.upstream, settings.hostname, clock, tasks)
        self._signer = ThreadedSigner(keyfiles.dkim_directory(settings.data_dir), clock)

        # Judgment, and the two halves of the path.
        judging = wire_judging(
            settings=settings,
            keys=keys,
            store=store,
            rulebooks=rulebooks,
            clock=clock,
            offer=lambda items: self._offer(items, -1),
        )
        generated = Generated(
            assessor=judging.assessor,
            mail=store.mail,
            writer=dsn,
            witness=fates,
            offer=self._offer,
            new_id=new_id,
            settings=settings,
            clock=clock,
        )
        notices = Notices(
            directory=directory,
            log=store.notices,
            mail=store.mail,
            generated=generated,
            new_id=new_id,
            settings=settings,
            clock=clock,
        )

        def held(tenant: Tenant, copy_id: str, subject: str, reason: Reason | None) -> None:
            tasks.start(notices.first_hold(tenant, copy_id, subject, reason), "notice of a hold")

        acceptance = Acceptance(
            directory=directory,
            free_bytes=store.free_bytes,
            settings=settings,
            assessor=judging.assessor,
            mail=store.mail,
            throttle=throttle,
            generated=generated,
            witness=fates,
            offer=self._offer,
            on_held=held,
            clock=clock,
        )
        self._consent = consent = wire_consent(
            settings=settings,
            store=store,
            rulebooks=rulebooks,
            token_keys=keys.tokens,
            pepper=keys.pepper,
            post=generated.post,
            new_id=new_id,
            counts=self.metrics,
            clock=clock,
            tasks=tasks,
        )
        self._delivery = Delivery(
            directory=directory,
            assessor=judging.assessor,
            generation=lambda: store.consents.generation,
            mail=store.mail,
            signer=self._signer,
            upstream=self._upstream,
            after=self._after,
            generated=generated,
            witness=fates,
            on_held=held,
            on_ours=consent.opt_in.mailed,
            token_keys=keys.tokens,
            pepper=keys.pepper,
            settings=settings,
            clock=clock,
        )
        self._loop = DeliveryLoop(
            self._scheduler,
            self._delivery.attempt,
            clock,
            tasks,
            settings.delivery.workers,
            self._upstream.circuit,
        )

        # Doors.
        door_counts = DoorCounts(self.metrics)
        self.smtp = SmtpServer(
            settings.smtp,
            settings.hostname,
            acceptance,
            clock,
            tasks,
            new_id,
            door_counts,
            settings.http.public_url,
        )
        self.public = WebServer(
            public_app(
                optouts=consent.links,
                signups=consent.opt_in,
                confirmations=consent.opt_in,
                own_records=consent.own_records,
                health=self,
                settings=settings,
                clock=clock,
                extra=hook_routes(consent.receiving, Visitors(settings, clock)),
            ),
            settings.http.public,
            tasks,
            "http.public",
        )
        self.admin = WebServer(
            api_app(
                Services(
                    settings=settings,
                    clock=clock,
                    store=store,
                    sign_ups=consent.opt_in,
                    withdrawing=consent.withdrawing,
                    recording=consent.recording,
                    terms=consent.terms,
                    importing=consent.importing,
                    expiring=consent.expiring,
                    erasing=consent.erasing,
                    release=judging.review.release,
                    token_keys=keys.tokens,
                    pepper=keys.pepper,
                )
            ),
            settings.http.admin,
            tasks,
            "http.admin",
        )
        self.metrics_listener = WebServer(
            metrics_app(self.metrics.registry, self._refresh_metrics),
            settings.http.metrics,
            tasks,
            "http.metrics",
        )
        self.context = Context(
            settings=settings,
            clock=clock,
            keys=keys,
            store=store,
            rulebooks=rulebooks,
            release=judging.review.release,
            explain=judging.review.explain,
            wake=self._retry_now,
            optout=self.metrics.optout,
            optout_in_force=self.metrics.optout_in_force,
            erasing=consent.erasing,
        )
        self._control = ControlServer(
            settings.data_dir / CONTROL_SOCKET, self.context, tasks, OPERATIONS
        )
        self._housekeeping = Housekeeping(
            store=store,
            notices=notices,
            opt_in=consent.opt_in,
            passing_on=consent.passing_on,
            erasing=consent.erasing,
            throttle=throttle,
            settings=settings,
            clock=clock,
        )
        self._configured = (
            *(judging.assessor, judging.review, generated, notices),
            *(acceptance, self._delivery, self._housekeeping, self.context),
            *consent.configured,
        )
        self._counts = Counts(0, None, {})
        self._outbox: Mapping[tuple[int, str], int] = {}
        self.metrics.derive(
            Sources(
                spool_messages=lambda: self._counts.waiting,
                spool_oldest_age=self._oldest_age,
                quarantine=self._held_by_tenant,
                smtp_sessions=lambda: door_counts.open,
                throttle_rate=self._rates,
                webhooks_waiting=lambda: self._to_tell("waiting"),
                webhooks_dead=lambda: self._to_tell("dead"),
            )
        )

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take in what waits, then open every door.

        Raises ListenerError, CannotListen, OSError, StoreTrouble: nothing stays open then.
        """
        self._housekeeping.restore_throttle()
        async for waiting in self.store.mail.waiting():
            self._scheduler.offer((waiting,))
        await self._control.start()
        await self.public.start()
        await self.admin.start()
        await self.metrics_listener.start()
        await self.smtp.start()
        self._loop.start()
        self._periodic = [
            self.tasks.start(self._housekeeping.run(), "housekeeping"),
            self.tasks.start(self._consent.passing_on.run(), "passing on"),
            self.tasks.start(watch_lag(self._clock, self.metrics.loop_lag), "loop lag"),
        ]
        self._state = "ready"

    async def stop(self, seconds: float) -> None:
        """Take no more, finish what is under way for up to ``seconds``, close everything."""
        self._state = "draining"
        await self.smtp.drain(seconds)
        await self._loop.drain(seconds)
        for task in self._periodic:
            task.cancel()
        self._housekeeping.save_throttle()
        await self.public.stop()
        await self.admin.stop()
        await self.metrics_listener.stop()
        await self._control.stop()
        await self._upstream.close()
        await self.tasks.drain(LAST_MOMENT)
        await self._signer.close()
        await self.store.close()

    def listening(self) -> list[tuple[str, str]]:
        """Name and bound ``host:port`` of every listener."""
        names = [listener.name for listener in self.settings.smtp.listeners]
        return [
            *zip(names, self.smtp.addresses, strict=True),
            ("http.public", self.public.bound),
            ("http.admin", self.admin.bound),
            ("http.metrics", self.metrics_listener.bound),
        ]

    def ready(self) -> tuple[bool, str]:
        """Whether mail can be taken now, and a word for it."""
        if self._state == "ready" and not self.store.healthy:
            return False, "store"
        if self._state == "ready" and self.store.free_bytes() < self.settings.store.min_free_bytes:
            return False, "disk"
        return self._state == "ready", self._state

    def reload(self) -> None:
        """Take up configuration, rulebooks and TLS files as they are now; keep what cannot change.

        Bad input changes nothing and is logged.
        """
        try:
            settings, _ = load(self._file)
            rulebooks = Rulebooks.read()
            self.smtp.reload_tls()
        except (SettingsError, RulebookError, ListenerError) as error:
            log.error("not reloaded, the former configuration stays: %s", error)
            return
        for name in FIXED:
            if getattr(settings, name) != getattr(self.settings, name):
                log.warning("%s changed: it takes effect after a restart", name)
        # Half of the parts with the new value and half with the old one would disagree.
        kept = {name: getattr(self.settings, name) for name in FIXED}
        self.settings = settings = settings.model_copy(update=kept)
        for part in self._configured:
            part.settings = settings
        self.context.rulebooks.replace(rulebooks)
        logs.configure(settings.log, settings.hostname, self.context.keys.pepper)
        log.info("configuration and rulebooks reloaded")

    # --- between the parts -------------------------------------------------------------------

    def _offer(self, items: Sequence[Waiting], generation: int) -> None:
        if items:
            self._delivery.judged(items[0].message_id, generation)
            self._scheduler.offer(items)
            self._loop.wake()

    def _retry_now(self, ids: Sequence[str]) -> None:
        keys = [(message, int(seq)) for message, _, seq in (i.rpartition(".") for i in ids)]
        self._scheduler.retry_now(keys, self._clock.now())
        self._loop.wake()

    def _after(self, receipt: Receipt, copy: Copy, now: float) -> CopyChange:
        return retry.after(receipt, copy, now, self.settings.delivery.retry)

    def _tenant_rate(self, tenant_id: int) -> Spec:
        tenant = self.store.directory.tenants.get(tenant_id)
        own = tenant.rate if tenant is not None else None
        return _spec(own or self.settings.limits.tenant_rate)

    def _domain_rate(self, tenant_id: int, domain: str) -> Spec:
        return _spec(self.settings.limits.tenant_domain_rate)

    def _rates(self) -> dict[str, float]:
        tenants = self.store.directory.tenants.values()
        return {tenant.slug: 1 / self._tenant_rate(tenant.id).interval for tenant in tenants}

    async def _refresh_metrics(self) -> None:
        try:
            self._counts = await self.store.mail.counts()
            self._outbox = await self.store.outbox.counts()
        except StoreTrouble as error:
            log.warning("metrics of the spool are of the last scrape: %s", error)
        self.metrics.refresh()

    def _to_tell(self, state: str) -> dict[str, int]:
        tenants = self.store.directory.tenants
        return {
            tenants[tenant_id].slug: number
            for (tenant_id, of), number in self._outbox.items()
            if of == state and tenant_id in tenants
        }

    def _oldest_age(self) -> float:
        oldest = self._counts.oldest_waiting_at
        return max(0.0, self._clock.now() - oldest) if oldest is not None else 0.0

    def _held_by_tenant(self) -> dict[str, int]:
        tenants = self.store.directory.tenants
        return {
            tenants[tenant_id].slug if tenant_id in tenants else "-": held
            for tenant_id, held in self._counts.held.items()
        }


class DoorCounts:
    """Counts what happens at the SMTP door."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.open = 0
        """Sessions now."""

    def sessions(self, delta: int) -> None:
        """A session began (1) or ended (-1)."""
        self.open += delta

    def message(self, listener: str, result: str, seconds: float) -> None:
        """A transaction reached DATA and ended so."""
        self._metrics.message(listener, result, seconds)

    def auth_failed(self, listener: str) -> None:
        """A wrong user name or secret; the log line has the client's address, for fail2ban."""
        self._metrics.auth_failed(listener)


_spec = lru_cache(maxsize=4_096)(parse)


async def open_relay(settings: Settings, file: Path) -> Relay:
    """Open keys, rulebooks and store, and wire a relay around them.

    Raises KeyFileError (a broken key must not fail silently), RulebookError (no judgment, no
    relay), StoreTrouble, ValueError (an upstream address or rate that is none).
    """
    keys = keyfiles.load(settings.data_dir)
    rulebooks = Rulebooks.read()
    for rate in (settings.limits.tenant_rate, settings.limits.tenant_domain_rate):
        parse(rate)
    logs.configure(settings.log, settings.hostname, keys.pepper)
    store = await Store.open(
        settings.data_dir, settings=settings.store, clock=SystemClock(), pepper=keys.pepper
    )
    try:
        return Relay(settings, file, keys, store, rulebooks)
    except BaseException:
        await store.close()
        raise
