"""``brand``: the labels under which consent is asked."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, say, show_json, show_record, show_rows

group = typer.Typer(help="Labels under which consent is asked.", rich_markup_mode=None)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
Slug = Annotated[str, typer.Argument(metavar="SLUG")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="brand")


@group.command("add")
def add(
    context: typer.Context,
    tenant: Tenant,
    slug: Slug,
    name: Annotated[str, typer.Option(help="As people know it.")],
    as_json: AsJson = False,
) -> None:
    """Add a brand to a tenant."""
    show_record(ask(context, "brand.add", {"tenant": tenant, "slug": slug, "name": name}), as_json)


@group.command("list")
def list_(context: typer.Context, tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's brands."""
    show_rows(ask(context, "brand.list", {"tenant": tenant}), ("slug", "name"), as_json)


@group.command("remove")
def remove(context: typer.Context, tenant: Tenant, slug: Slug, as_json: AsJson = False) -> None:
    """Remove a brand that no list uses; opt-outs for it stay."""
    removed = ask(context, "brand.remove", {"tenant": tenant, "slug": slug})
    if as_json:
        show_json(removed)
    say(f"{tenant}/{slug} is removed")
