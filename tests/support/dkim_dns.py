"""DKIM verification against records that a test holds, by two implementations."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import dkim

INTEROP = Path(__file__).resolve().parent.parent / "interop"


def dnsfunc(records: Mapping[str, str]) -> Callable[..., bytes | None]:
    """A lookup for dkimpy that knows ``{name: TXT value}`` and nothing else."""

    def look_up(name: bytes | str, timeout: float = 5) -> bytes | None:
        key = name.decode() if isinstance(name, bytes) else name
        value = records.get(key.rstrip("."))
        return value.encode() if value is not None else None

    return look_up


def dkimpy_verifies(message: bytes, records: Mapping[str, str], *, index: int = 0) -> bool:
    """Whether dkimpy holds the ``index``-th signature (from the top) for valid."""
    return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=dnsfunc(records)))


def mailauth_missing() -> str | None:
    """Why mailauth cannot run here, in words for a skip; None when it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (INTEROP / "node_modules" / "mailauth").is_dir():
        return "npm package mailauth is not installed in tests/interop"
    return None


def mailauth_verify(message: bytes, records: Mapping[str, str]) -> list[dict[str, str]]:
    """What mailauth says of each signature: ``{domain, result, comment}``."""
    question = {"message": base64.b64encode(message).decode(), "records": dict(records)}
    answer = subprocess.run(
        ["node", str(INTEROP / "verify.cjs")],
        input=json.dumps(question).encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    found: list[dict[str, str]] = json.loads(answer.stdout)
    return found
