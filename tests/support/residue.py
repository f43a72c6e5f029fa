"""Finds a text in the files of a folder however it is spelled there; for tests of erasure."""

from __future__ import annotations

import base64
import urllib.parse
from pathlib import Path


def forms(text: str) -> set[bytes]:
    """``text`` plain, in UTF-16, percent-encoded, quoted-printable, and in base64 at each of the
    three places where it may begin; each in lower case except base64."""
    plain = text.lower().encode()
    quoted = "".join(c if c.isalnum() or c in ".-_" else f"%{ord(c):02x}" for c in text.lower())
    return {
        plain,
        text.lower().encode("utf-16-le"),
        text.lower().encode("utf-16-be"),
        quoted.encode(),
        urllib.parse.quote_plus(text.lower()).lower().encode(),
        plain.replace(b"@", b"=40"),
        "".join(f"={octet:02x}" for octet in plain).encode(),
    }


def base64_forms(text: str) -> set[bytes]:
    """What of the base64 of anything that holds ``text`` depends on ``text`` alone."""
    found = set()
    for before in (b"", b"x", b"xy"):
        one = base64.b64encode(before + text.encode() + b"---")
        other = base64.b64encode(before.replace(b"x", b"q") + text.encode() + b"+++")
        same = [a == b for a, b in zip(one, other, strict=True)]
        # the run in the middle that is the same whatever stands around it
        start = next(n for n in range(len(before) * 2, len(same)) if same[n]) if before else 0
        end = start
        while end < len(same) and same[end]:
            end += 1
        found.add(one[start + bool(before) : end])
    return found


def traces(folder: Path, *texts: str) -> dict[str, set[bytes]]:
    """Files below ``folder`` in which any spelling of any text stands, and which."""
    folded = {form for text in texts for form in forms(text)}
    exact = {form for text in texts for form in base64_forms(text)}
    found: dict[str, set[bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        octets = path.read_bytes()
        lowered = octets.lower()
        here = {form for form in folded if form in lowered} | {f for f in exact if f in octets}
        if here:
            found[str(path.relative_to(folder))] = here
    return found
