"""Whether a configuration can be used: keys and rulebooks as well as settings."""

from __future__ import annotations

from collections.abc import Iterator

from relay.operate import keyfiles
from relay.rulebooks import Rulebooks
from relay.settings import Settings
from relay.settings_checks import is_loopback, split_address


def check(settings: Settings) -> tuple[str, ...]:
    """Notes on what is allowed and should be known. Raises KeyFileError, RulebookError."""
    keyfiles.load(settings.data_dir)
    Rulebooks.read()
    return tuple(_notes(settings))


def _notes(settings: Settings) -> Iterator[str]:
    limit = settings.limits.personal_recipients_per_day
    yield (
        f"unlabelled mail sent one by one passes as personal, without consent, up to {limit} "
        f"recipients for each tenant and day (limits.personal_recipients_per_day)"
    )
    if settings.http.public_url.startswith("http:"):
        yield (
            f"unsubscribe links will say {settings.http.public_url}, which works on this machine "
            f"alone (http.public_url)"
        )
    if "." not in settings.operator.contact.rpartition("@")[2]:
        yield (
            f"people will be told to write to {settings.operator.contact}, which reaches nobody "
            f"outside (operator.contact)"
        )
    for listener in settings.smtp.listeners:
        host, _ = split_address(listener.address)
        if listener.tls == "none" and not is_loopback(host):
            yield (
                f"the listener on {listener.address} has no TLS: clients are admitted by network "
                f"alone there, since AUTH in clear is for loopback"
            )
