"""Who asked: the peer, or what trusted proxies say about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """``http.trusted_proxies`` as networks. Raises ValueError naming the first that is none."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[IPNetwork]) -> str:
    """The address nearest to us that is not a trusted proxy.

    ``peer`` is the other end of the connection; ``forwarded`` the X-Forwarded-For fields in
    order. The chain is read from the right, since everything left of the first untrusted hop is
    that hop's word. An entry that is no address ends it: then the last good one stands.
    """
    here = parse(peer)
    if here is None:
        return peer
    chain = [entry for field in forwarded for entry in field.split(",")]
    for entry in reversed(chain):
        if not _in(here, trusted):
            break
        there = parse(entry)
        if there is None:
            break
        here = there
    return str(here)


def parse(text: str) -> IPAddress | None:
    """An address as proxies write it: with or without port, brackets or zone; None if it is none.

    An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address it stands for.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def neighbourhood(address: str) -> str:
    """What counts as one client: the address, for IPv6 its /64 (one household or host)."""
    parsed = parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


def _in(address: IPAddress, trusted: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in trusted)
