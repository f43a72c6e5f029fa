"""Operations on sources of consent."""

from __future__ import annotations

from dataclasses import replace

from relay.consent.source_keys import SourceKeyError, fingerprint, read_keys, write_keys
from relay.model import Source
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json


async def add(context: Context, slug: str, approved: bool, public_key: str | None = None) -> Json:
    """Add a source (clause A10); ``public_key`` is what ``source_keys.read_keys`` takes."""
    if names.slug(slug, "the slug") in context.store.directory.sources:
        raise OperationError(f"there is a source {slug!r} already")
    source = Source(id=0, slug=slug, approved=approved, public_key=_key(public_key))
    return _shown(await context.store.registry.add_source(source))


async def change(
    context: Context, slug: str, approved: bool | None = None, public_key: str | None = None
) -> Json:
    """Change what is given. What was recorded before keeps the key that it was signed with."""
    was = context.store.directory.sources.get(slug)
    if was is None:
        raise OperationError(f"there is no source {slug!r}")
    wanted = replace(
        was,
        approved=was.approved if approved is None else approved,
        public_key=was.public_key if public_key is None else _key(public_key),
    )
    await context.store.registry.change_source(wanted)
    return _shown(wanted)


async def listing(context: Context) -> Json:
    """All sources by slug."""
    return [_shown(source) for _, source in sorted(context.store.directory.sources.items())]


def _key(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return write_keys(read_keys(text))
    except SourceKeyError as error:
        raise OperationError(f"--public-key: {error}", status=2) from error


def _shown(source: Source) -> dict[str, Json]:
    return {
        "slug": source.slug,
        "approved": source.approved,
        "fingerprints": _fingerprints(source.public_key),
        "public_key": source.public_key,
    }


def _fingerprints(text: str | None) -> list[Json]:
    if text is None:
        return []
    try:
        return [fingerprint(key) for key in read_keys(text)]
    except SourceKeyError:
        # Older releases took any kind of key; nothing that it signs is taken.
        return ["not an Ed25519 key"]
