"""DKIM signing off the event loop, with the keys kept in memory."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from relay.ports import Clock
from relay.transform.sign import KeyProblem, finish, load_private_key, prepare, rsa_sign

# Both names become a path.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class _CachedKey:
    key: RSAPrivateKey
    version: tuple[int, int, int]


class ThreadedSigner:
    """Signs with the key in ``keys_dir/DOMAIN/SELECTOR.pem`` (implements ``ports.Signer``).

    A key is read once, and again when its file changes. Only the RSA step, which releases the
    GIL, and reading a key go to the threads.
    """

    def __init__(self, keys_dir: Path, clock: Clock, threads: int = 2) -> None:
        self._keys_dir = keys_dir
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dkim")
        self._keys: dict[tuple[str, str], _CachedKey] = {}

    async def sign(self, domain: str, selector: str, header: bytes, body_hash: bytes) -> bytes:
        """The whole ``DKIM-Signature:`` field with CRLF, for a header and its body hash.

        Raises LookupError, naming the file and what to do, when its key is missing or unusable;
        ValueError when ``header`` is no header block.
        """
        loop = asyncio.get_running_loop()
        key = await self._key(domain, selector)
        prepared = prepare(
            header, body_hash, domain=domain, selector=selector, now=self._clock.now()
        )
        signature = await loop.run_in_executor(self._pool, rsa_sign, key, prepared.signed)
        return finish(prepared, signature)

    def forget(self, domain: str, selector: str) -> None:
        """Drop a key from memory, for one that was rotated or removed."""
        self._keys.pop((domain, selector), None)

    def close(self) -> None:
        """End the threads after the signatures under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

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
            loop = asyncio.get_running_loop()
            key = await loop.run_in_executor(self._pool, _load, path)
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
