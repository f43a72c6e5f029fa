"""A relay from nothing: configuration file, keys, store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.clock import SystemClock
from relay.operate import keyfiles
from relay.operate.errors import OperationError
from relay.operate.reference import reference_toml
from relay.settings import Settings
from relay.settings_checks import is_loopback, split_address
from relay.settings_file import SettingsError, load
from relay.store.store import Store


@dataclass(frozen=True, slots=True)
class Wanted:
    """What differs from the defaults; None leaves a default."""

    hostname: str | None = None
    upstream: str | None = None
    smtp: str | None = None
    http: str | None = None
    admin: str | None = None
    metrics: str | None = None
    public_url: str | None = None


async def make(directory: Path, wanted: Wanted) -> tuple[Settings, Path]:
    """Write ``relay.toml``, make keys and store in ``data``.

    Returns the settings as loaded and the file. Raises OperationError (status 2) when something
    is there already or a value is wrong (the file is taken away again then).
    """
    file, data_dir = directory / "relay.toml", directory / "data"
    settings, keys = _prepare(directory, file, data_dir, wanted)
    store = await Store.open(
        data_dir, settings=settings.store, clock=SystemClock(), pepper=keys.pepper
    )
    await store.close()
    return settings, file.absolute()


def _prepare(
    directory: Path, file: Path, data_dir: Path, wanted: Wanted
) -> tuple[Settings, keyfiles.Keys]:
    for existing in (file, data_dir):
        if existing.exists():
            raise OperationError(f"{existing} exists already and is not overwritten", status=2)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(file, reference_toml(_values(wanted)))
    except OSError as error:
        raise OperationError(f"{file} cannot be written: {error.strerror}", status=2) from error
    try:
        # The environment of this shell says nothing about the file.
        settings, _ = load(file, {})
    except SettingsError as error:
        file.unlink()
        raise OperationError(str(error), status=2) from error
    data_dir.mkdir(mode=0o700)
    return settings, keyfiles.make(data_dir)


def _values(wanted: Wanted) -> dict[str, Any]:
    values: dict[str, Any] = {
        "hostname": wanted.hostname,
        "upstream.address": wanted.upstream,
        "http.public": wanted.http,
        "http.admin": wanted.admin,
        "http.metrics": wanted.metrics,
        "http.public_url": wanted.public_url or _url(wanted.http),
    }
    given = {key: value for key, value in values.items() if value is not None}
    if wanted.smtp is not None:
        given["smtp.listeners"] = [{"address": wanted.smtp}]
    return given


def _url(http: str | None) -> str | None:
    """Where this machine itself reaches the pages, until a person names the public URL."""
    if http is None:
        return None
    try:
        host, port = split_address(http)
    except ValueError:
        return None  # the loader says what is wrong with http.public
    if not is_loopback(host):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
