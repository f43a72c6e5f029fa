"""What an operator would check by hand, each with what to do next."""

from __future__ import annotations

import asyncio
import os
import smtplib
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver

from relay.operate import keyfiles
from relay.operate.context import Context
from relay.operate.doctor_check import Check
from relay.operate.doctor_consent import (
    check_api,
    check_heads_copy,
    check_sign_up,
    check_terms,
    check_webhooks,
)
from relay.ports import Json
from relay.rulebooks import Rulebooks
from relay.settings import Settings, Upstream
from relay.settings_checks import is_loopback, split_address
from relay.store.sqlite.version import SQLITE_VERSION
from relay.transform.sign import KeyProblem, dns_record

TIMEOUT: Final = 5.0
"""Seconds that one look at the network may take."""


async def doctor(context: Context) -> Json:
    """``[{check, ok, detail, next}]``, in a fixed order; never fails itself."""
    settings = context.settings
    checks = [*check_rights(settings.data_dir), check_disk(settings)]
    checks.append(check_clock(settings.data_dir, context.clock.now()))
    checks.append(check_sqlite(SQLITE_VERSION))
    checks.append(check_rulebooks(context))
    checks.append(check_sign_up(context))
    checks.append(check_terms(settings))
    checks.append(await asyncio.to_thread(check_heads_copy, settings))
    checks.append(await check_webhooks(context))
    checks.append(check_api(settings))
    checks.append(await asyncio.to_thread(check_upstream, settings.upstream, settings.hostname))
    checks.append(await asyncio.to_thread(check_public_url, settings.http.public_url))
    resolver = make_resolver()
    for sender in sorted(context.store.directory.domains.values(), key=lambda s: s.domain):
        file = keyfiles.dkim_file(settings.data_dir, sender.domain, sender.selector)
        checks.append(await check_dkim(sender.domain, sender.selector, file, resolver))
    return [asdict(check) for check in checks]


# --- On this machine --------------------------------------------------------------------------


def check_rights(data_dir: Path) -> Iterator[Check]:
    """Nobody but the owner may read secrets and people's addresses."""
    for name, path, files in (
        ("data directory", data_dir, [data_dir]),
        ("key files", keyfiles.directory(data_dir), _tree(keyfiles.directory(data_dir))),
    ):
        owner = data_dir.stat().st_uid
        loose = [
            file
            for file in files
            if stat.S_IMODE(file.stat().st_mode) & 0o077 or file.stat().st_uid != owner
        ]
        if loose:
            yield Check(
                name,
                False,
                f"{loose[0]} may be read by others, or is another user's",
                f"chown -R --reference={data_dir} {path} && chmod -R go= {path}",
            )
        else:
            yield Check(name, True, f"{path} is its owner's alone")


def _tree(directory: Path) -> list[Path]:
    return [directory, *sorted(directory.rglob("*"))]


def check_disk(settings: Settings) -> Check:
    """Room for mail, well before MAIL gets 452."""
    status = os.statvfs(settings.data_dir)
    free = status.f_bavail * status.f_frsize
    least = settings.store.min_free_bytes
    detail = f"{free // 1_000_000} MB free, mail is refused below {least // 1_000_000} MB"
    if free < 2 * least:
        return Check("disk", False, detail, f"make room on the disk of {settings.data_dir}")
    return Check("disk", True, detail)


def check_clock(data_dir: Path, now: float) -> Check:
    """A clock set back makes consents younger than they are and delays retries."""
    newest = max((file.stat().st_mtime for file in data_dir.glob("*.db*")), default=now)
    if newest > now + 60:
        return Check(
            "clock",
            False,
            f"the store was written {newest - now:.0f} s in the future",
            "see whether time is synchronised (timedatectl)",
        )
    return Check("clock", True, "not behind the store's last write")


def check_sqlite(version: tuple[int, ...]) -> Check:
    """The WAL-reset bug needs two connections that write; the relay has one."""
    text = ".".join(map(str, version))
    fixed = (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51)
        or ((3, 44, 6) <= version < (3, 45))
    )
    if fixed:
        return Check("sqlite", True, f"{text}, with the WAL-reset fix")
    return Check(
        "sqlite",
        True,
        f"{text} has the WAL-reset bug, which one writing connection cannot meet",
        "let no other program write to the store, not even the sqlite3 shell",
    )


def check_rulebooks(context: Context) -> Check:
    """Every tenant's rulebooks are there."""
    for tenant in context.store.directory.tenants.values():
        missing = [name for name in tenant.rulebooks if not _known(context.rulebooks, name)]
        if missing:
            return Check(
                "rulebooks",
                False,
                f"tenant {tenant.slug} names {missing[0]}, which is not there",
                f"consent-relay tenant set {tenant.slug} --rulebook NAME",
            )
    return Check("rulebooks", True, f"{len(context.rulebooks.books)} rulebooks, all whole")


def _known(rulebooks: Rulebooks, name: str) -> bool:
    return name in rulebooks.books


# --- On the network -----------------------------------------------------------------------------


def check_upstream(upstream: Upstream, hostname: str) -> Check:
    """Connect, EHLO, TLS and AUTH as a delivery would; sends no mail. Blocks: run in a thread."""
    host, port = split_address(upstream.address)
    context = ssl.create_default_context(
        cafile=str(upstream.ca_file) if upstream.ca_file is not None else None
    )
    if upstream.tls != "verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with _dial(upstream, host, port, hostname, context) as client:
            code, said = client.ehlo()
            if code >= 400:
                raise smtplib.SMTPResponseException(code, said)
            tls = upstream.implicit_tls
            if not tls and upstream.tls != "none" and client.has_extn("starttls"):
                client.starttls(context=context)
                client.ehlo()
                tls = True
            if upstream.tls in ("required", "verify") and not tls:
                return Check(
                    "upstream",
                    False,
                    f"{upstream.address} offers no STARTTLS",
                    "switch TLS on there, or set upstream.tls",
                )
            if upstream.username is not None and upstream.password_file is not None:
                password = upstream.password_file.read_text("utf-8").rstrip("\r\n")
                client.login(upstream.username, password)
    except smtplib.SMTPAuthenticationError:
        return Check(
            "upstream",
            False,
            f"{upstream.address} refuses the user name or password",
            "set upstream.username and upstream.password_file",
        )
    except (OSError, smtplib.SMTPException) as error:
        return Check(
            "upstream",
            False,
            f"{upstream.address}: {_said(error)}",
            "see whether it runs, whether a firewall stands between, and whether it lets us in",
        )
    return Check("upstream", True, f"{upstream.address} answers{' with TLS' if tls else ''}")


def _dial(
    upstream: Upstream, host: str, port: int, hostname: str, context: ssl.SSLContext
) -> smtplib.SMTP:
    if upstream.implicit_tls:
        return smtplib.SMTP_SSL(
            host, port, local_hostname=hostname, timeout=TIMEOUT, context=context
        )
    return smtplib.SMTP(host, port, local_hostname=hostname, timeout=TIMEOUT)


def check_public_url(url: str) -> Check:
    """The world reaches the unsubscribe pages. Blocks: run in a thread."""
    place = f"{url.rstrip('/')}/healthz"
    try:
        # The scheme is http or https: the settings were checked.
        with urllib.request.urlopen(place, timeout=TIMEOUT) as answer:  # noqa: S310
            answer.read(1_000)
    except (OSError, ValueError) as error:
        return Check(
            "unsubscribe url",
            False,
            f"GET {place}: {_said(error)}",
            "start the relay, and see to http.public_url, the proxy and its certificate",
        )
    if is_loopback(urlsplit(url).hostname or ""):
        return Check(
            "unsubscribe url",
            False,
            f"{url} works on this machine alone, so nobody who gets mail can unsubscribe",
            "set http.public_url to the https URL of a proxy in front of http.public",
        )
    return Check("unsubscribe url", True, f"{place} answers")


def make_resolver() -> dns.asyncresolver.Resolver | None:
    """The system's resolver; None when the system names none."""
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return None
    resolver.lifetime = TIMEOUT
    return resolver


async def check_dkim(
    domain: str, selector: str, file: Path, resolver: dns.asyncresolver.Resolver | None
) -> Check:
    """The TXT record holds the public half of the key that we sign with."""
    name = f"{selector}._domainkey.{domain}"
    check = f"dkim {domain}"
    publish = "publish the record that `consent-relay domain list TENANT` shows"
    try:
        wanted = await asyncio.to_thread(lambda: dns_record(file.read_bytes()))
    except (OSError, KeyProblem) as error:
        return Check(
            check,
            False,
            f"the key {file} cannot be used: {_said(error)}",
            f"restore it from a backup, or `consent-relay domain rotate TENANT {domain}`",
        )
    if resolver is None:
        return Check(check, False, "this machine has no DNS resolver", "see to /etc/resolv.conf")
    try:
        answer = await resolver.resolve(name, "TXT")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return Check(check, False, f"{name} has no TXT record", publish)
    except dns.exception.DNSException as error:
        return Check(
            check,
            False,
            f"{name} cannot be looked up: {_said(error)}",
            "see whether the resolver of this machine answers",
        )
    found = [b"".join(record.strings).decode("ascii", "replace") for record in answer]
    if any(_public_key(text) == _public_key(wanted) for text in found):
        return Check(check, True, f"{name} is our key")
    return Check(check, False, f"{name} holds another key", publish)


def _public_key(record: str) -> str | None:
    """The p= tag of a key record (RFC 6376 section 3.6.1), without folding white space."""
    for tag in record.split(";"):
        name, _, value = tag.partition("=")
        if name.strip() == "p":
            return "".join(value.split())
    return None


def _said(error: Exception) -> str:
    """One line of an error, without what a server might have put into it."""
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it says {error.smtp_code}"
    text = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
    return " ".join(text.split())[:200] or type(error).__name__
