"""The secrets of one relay, as files under ``data_dir/keys``, each readable by its owner alone.

- ``pepper``: 32 octets under which addresses are hashed. Lost, every opt-out is lost with it.
- ``tokens.json``: ``{"current": ID, "keys": {ID: base64url}}``; old ids stay, so that links in
  old mail work for ever.
- ``ledger.pem``: Ed25519, signs the heads of the ledger's chains.
- ``dkim/DOMAIN/SELECTOR.pem``: RSA, signs mail of a sender domain.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from relay.transform.token import TokenKeys

PEPPER_OCTETS: Final = 32
TOKEN_KEY_OCTETS: Final = 32


class KeyFileError(Exception):
    """A key file is missing, unreadable or not a key; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The loaded secrets; DKIM keys are read per domain."""

    pepper: bytes = field(repr=False)
    tokens: TokenKeys
    ledger: Ed25519PrivateKey = field(repr=False)


def directory(data_dir: Path) -> Path:
    """Where the keys of a data directory are."""
    return data_dir / "keys"


def dkim_directory(data_dir: Path) -> Path:
    """Where the DKIM keys are, a directory per domain."""
    return directory(data_dir) / "dkim"


def dkim_file(data_dir: Path, domain: str, selector: str) -> Path:
    """The private key that signs for ``domain`` under ``selector``; both validated before."""
    return dkim_directory(data_dir) / domain / f"{selector}.pem"


def make(data_dir: Path) -> Keys:
    """Make all keys of a new relay and return them.

    Raises KeyFileError when there is one already, or when the directory cannot be written.
    """
    base = directory(data_dir)
    ledger = Ed25519PrivateKey.generate()
    tokens = {
        "current": "k1",
        "keys": {"k1": _base64url(secrets.token_bytes(TOKEN_KEY_OCTETS))},
    }
    write_secret(base / "pepper", secrets.token_bytes(PEPPER_OCTETS))
    write_secret(base / "tokens.json", json.dumps(tokens).encode() + b"\n")
    write_secret(
        base / "ledger.pem",
        ledger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return load(data_dir)


def load(data_dir: Path) -> Keys:
    """Read pepper, token keys and ledger key. Raises KeyFileError."""
    base = directory(data_dir)
    pepper_file, tokens_file, ledger_file = (
        base / name for name in ("pepper", "tokens.json", "ledger.pem")
    )
    pepper = _read(pepper_file)
    if len(pepper) != PEPPER_OCTETS:
        raise _bad(pepper_file, f"it holds {len(pepper)} octets where {PEPPER_OCTETS} belong")
    try:
        said = json.loads(_read(tokens_file))
        tokens = TokenKeys(
            {str(name): _octets(value) for name, value in said["keys"].items()},
            str(said["current"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(tokens_file, "it is not a set of token keys") from error
    try:
        ledger = load_pem_private_key(_read(ledger_file), password=None)
    except (ValueError, TypeError) as error:
        raise _bad(ledger_file, "it is not a PEM private key") from error
    if not isinstance(ledger, Ed25519PrivateKey):
        raise _bad(ledger_file, "it is not an Ed25519 key")
    return Keys(pepper, tokens, ledger)


def write_secret(file: Path, content: bytes) -> None:
    """Write a new file of mode 0600, synced, in directories of mode 0700.

    Raises KeyFileError when it exists already or cannot be written.
    """
    try:
        # mkdir gives its mode to the last directory alone.
        for directory_ in reversed(file.parents):
            directory_.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        parent = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except FileExistsError as error:
        raise KeyFileError(f"{file} exists already and is not overwritten") from error
    except OSError as error:
        raise KeyFileError(f"{file} cannot be written: {error.strerror}") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise KeyFileError(
            f"the key file {file} is missing: restore it from a backup, or, for a relay that "
            f"has no data yet, make a new one with `consent-relay init DIR`"
        ) from error
    except PermissionError as error:
        raise KeyFileError(
            f"the key file {file} cannot be read by this user: run the command as the user of "
            f"the service, or `chown` the file to it (mode 0600)"
        ) from error
    except OSError as error:
        raise KeyFileError(f"the key file {file} cannot be read: {error.strerror}") from error


def _bad(file: Path, what: str) -> KeyFileError:
    return KeyFileError(f"the key file {file} is damaged ({what}): restore it from a backup")


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error
