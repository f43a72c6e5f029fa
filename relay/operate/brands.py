"""Operations on brands."""

from __future__ import annotations

from relay.model import Brand
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json


async def add(context: Context, tenant: str, slug: str, name: str) -> Json:
    """Add a brand to a tenant."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    names.slug(slug, "the slug")
    if find(context, owner.id, slug) is not None:
        raise OperationError(f"tenant {tenant} has a brand {slug!r} already")
    brand = Brand(id=0, tenant_id=owner.id, slug=slug, name=names.line(name, "--name"))
    return _shown(await context.store.registry.add_brand(brand))


async def listing(context: Context, tenant: str) -> Json:
    """A tenant's brands by slug."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    brands = [brand for brand in directory.brands.values() if brand.tenant_id == owner.id]
    return [_shown(brand) for brand in sorted(brands, key=lambda brand: brand.slug)]


async def remove(context: Context, tenant: str, slug: str) -> Json:
    """Remove a brand that no list uses; what people said about it stays on record."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    brand = find(context, owner.id, slug)
    if brand is None:
        raise OperationError(f"tenant {tenant} has no brand {slug!r}")
    users = [member.slug for member in directory.lists.values() if member.brand_id == brand.id]
    if users:
        raise OperationError(f"the brand {slug} is used by the list {users[0]}")
    await context.store.registry.remove_brand(brand.id)
    return _shown(brand)


def find(context: Context, tenant_id: int, slug: str) -> Brand | None:
    """The tenant's brand of that slug, or None."""
    for brand in context.store.directory.brands.values():
        if (brand.tenant_id, brand.slug) == (tenant_id, slug):
            return brand
    return None


def _shown(brand: Brand) -> dict[str, Json]:
    return {"slug": brand.slug, "name": brand.name}
