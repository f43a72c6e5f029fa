"""``list``: the subscriptions."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask, given_only
from relay.cli.output import AsJson, say, show_record, show_rows
from relay.model import ScopeLevel
from relay.operate.choices import ListKind, NoConsent

group = typer.Typer(help="Subscriptions: what is sent, how often.", rich_markup_mode=None)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
Slug = Annotated[str, typer.Argument(metavar="SLUG")]
OnNoConsent = Annotated[
    NoConsent | None, typer.Option("--action", help="What lack of consent leads to.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="ADDRESS", help="From address that selects it.")
]
ListId = Annotated[str | None, typer.Option("--list-id", metavar="ID", help="RFC 2919.")]
Brand = Annotated[str | None, typer.Option(metavar="BRAND")]
ThirdParties = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Who else's offers the person agreed to.")
]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="list")


@group.command("add")
def add(
    context: typer.Context,
    tenant: Tenant,
    slug: Slug,
    kind: Annotated[ListKind, typer.Option()],
    purpose: Annotated[str, typer.Option(help="What is sent, in words a person reads.")],
    promise: Annotated[str, typer.Option(metavar="N/day|week|month", help="How often.")],
    brand: Brand = None,
    scope: Annotated[
        ScopeLevel, typer.Option(help="The level at which consent is asked.")
    ] = ScopeLevel.LIST,
    from_: From = None,
    list_id: ListId = None,
    action: OnNoConsent = None,
    list_headers_ok: Annotated[
        bool,
        typer.Option(
            "--list-headers-ok", help="Transactional mail of it may carry newsletter headers."
        ),
    ] = False,
    third_parties: ThirdParties = None,
    as_json: AsJson = False,
) -> None:
    """Add a list to a tenant."""
    options = given_only(
        brand=brand,
        from_address=from_,
        list_id=list_id,
        action=action,
        third_parties=third_parties,
    )
    made = ask(
        context,
        "list.add",
        {
            "tenant": tenant,
            "slug": slug,
            "kind": kind,
            "purpose": purpose,
            "promise": promise,
            "scope": scope,
            "list_headers_ok": list_headers_ok,
            **dict(options),
        },
    )
    show_record(made, as_json)
    if kind is ListKind.COMMERCIAL and not ask(context, "domain.list", {"tenant": tenant}):
        say(f"nobody can sign up until `consent-relay domain add {tenant} DOMAIN`")


@group.command("list")
def list_(context: typer.Context, tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's lists."""
    rows = ask(context, "list.list", {"tenant": tenant})
    show_rows(rows, ("slug", "kind", "purpose", "promise", "brand", "archived"), as_json)


@group.command("show")
def show(context: typer.Context, tenant: Tenant, slug: Slug, as_json: AsJson = False) -> None:
    """One list with all its settings."""
    show_record(ask(context, "list.show", {"tenant": tenant, "slug": slug}), as_json)


@group.command("set")
def set_(
    context: typer.Context,
    tenant: Tenant,
    slug: Slug,
    purpose: Annotated[str | None, typer.Option()] = None,
    promise: Annotated[str | None, typer.Option(metavar="N/day|week|month")] = None,
    from_: From = None,
    list_id: ListId = None,
    action: OnNoConsent = None,
    list_headers_ok: Annotated[
        bool | None, typer.Option("--list-headers-ok/--no-list-headers-ok")
    ] = None,
    third_parties: ThirdParties = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, leave the rest. An empty --from or --list-id removes it."""
    options = given_only(
        purpose=purpose,
        promise=promise,
        from_address=from_,
        list_id=list_id,
        action=action,
        list_headers_ok=list_headers_ok,
        third_parties=third_parties,
    )
    changed = ask(context, "list.set", {"tenant": tenant, "slug": slug, **dict(options)})
    show_record(changed, as_json)


@group.command("archive")
def archive(context: typer.Context, tenant: Tenant, slug: Slug, as_json: AsJson = False) -> None:
    """Send no more for a list; its consents, opt-outs and links stay."""
    show_record(ask(context, "list.archive", {"tenant": tenant, "slug": slug}), as_json)
    say(f"{tenant}/{slug} is archived")
