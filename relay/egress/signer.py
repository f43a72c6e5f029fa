"""DKIM signing off the event loop, with the keys kept in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from relay.gather import Gatherer
from relay.ports import Clock
from relay.transform.sign import KeyProblem, finish, load_private_key, prepare, rsa_sign

# Both names become a path.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class _CachedKey:
    key: RSAPrivateKey
    version: tuple[int, int, int]


@dataclass(slots=True)
class _Signature:
    key: RSAPrivateKey
    signed: bytes
    future: asyncio.Future[bytes]
    result: bytes | None = None
    error: Exception | None = None


class ThreadedSigner:
    """Signs with the key in ``keys_dir/DOMAIN/SELECTOR.pem`` (implements ``ports.Signer``).

    A key is read once, and again when its file changes. Only the RSA step, which releases the
    GIL, and reading a key leave the event loop.
    """

    def __init__(self, keys_dir: Path, clock: Clock) -> None:
        self._keys_dir = keys_dir
        self._clock = clock
        self._thread = Gatherer[_Signature]("dkim", _sign_all, _settle)
        self._thread.start()
        self._keys: dict[tuple[str, str], _CachedKey] = {}

    async def sign(self, domain: str, selector: str, header: bytes, body_hash: bytes) -> bytes:
        """The whole ``DKIM-Signature:`` field with CRLF, for a header and its body hash.

        Raises LookupError, naming the file and what to do, when its key is missing or unusable;
        ValueError when ``header`` is no header block.
        """
        key = await self._key(domain, selector)
        prepared = prepare(
            header, body_hash, domain=domain, selector=selector, now=self._clock.now()
        )
        job = _Signature(key, prepared.signed, asyncio.get_running_loop().create_future())
        self._thread.put(job)
        return finish(prepared, await job.future)

    def forget(self, domain: str, selector: str) -> None:
        """Drop a key from memory, for one that was rotated or removed."""
        self._keys.pop((domain, selector), None)

    async def close(self) -> None:
        """End the thread after the signatures under way."""
        await self._thread.close()

    async def _key(self, domain: str, selector: str) -> RSAPrivateKey:
        if not _PLAIN.fullmatch(domain) or not _PLAIN.fullmatch(selector):
            raise LookupError(f"{domain!r} with selector {selector!r} cannot name a DKIM key file")
        path = self._keys_dir / domain / f"{selector}.pem"
        cached = self._keys.get((domain, selector))
        try:
            stat = path.stat()
            version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if cached is not None and cached.version == version:
                return cached.key
            key = await asyncio.to_thread(_load, path)
        except FileNotFoundError as error:
            raise LookupError(
                f"DKIM key {path} does not exist: restore it from a backup, or make a new one with "
                f"`consent-relay domain rotate` and publish its record"
            ) from error
        except OSError as error:
            raise LookupError(
                f"DKIM key {path} cannot be read ({error.strerror}): let the relay's user read it"
            ) from error
        except KeyProblem as error:
            raise LookupError(
                f"DKIM key {path} cannot be used: {error}; restore it from a backup"
            ) from error
        self._keys[domain, selector] = _CachedKey(key, version)
        return key


def _load(path: Path) -> RSAPrivateKey:
    return load_private_key(path.read_bytes())


def _sign_all(jobs: list[_Signature]) -> None:
    for job in jobs:
        try:
            job.result = rsa_sign(job.key, job.signed)
        except Exception as error:  # the thread must outlive a key that cannot sign
            job.error = error


def _settle(jobs: Sequence[_Signature]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            assert job.result is not None
            job.future.set_result(job.result)
