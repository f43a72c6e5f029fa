"""Operations on sources of consent."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from relay.model import Source
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json


async def add(context: Context, slug: str, approved: bool, public_key: str | None = None) -> Json:
    """Add a source (clause A10)."""
    if names.slug(slug, "the slug") in context.store.directory.sources:
        raise OperationError(f"there is a source {slug!r} already")
    if public_key is not None:
        try:
            load_pem_public_key(public_key.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise OperationError(
                "--public-key is not a public key in PEM form", status=2
            ) from error
    source = Source(id=0, slug=slug, approved=approved, public_key=public_key)
    return _shown(await context.store.registry.add_source(source))


async def listing(context: Context) -> Json:
    """All sources by slug."""
    return [_shown(source) for _, source in sorted(context.store.directory.sources.items())]


def _shown(source: Source) -> dict[str, Json]:
    return {"slug": source.slug, "approved": source.approved, "public_key": source.public_key}
