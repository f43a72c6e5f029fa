"""``domain``: sender domains and their DKIM keys."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, say, show_json

group = typer.Typer(help="Sender domains and their DKIM keys.", rich_markup_mode=None)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
Domain = Annotated[str, typer.Argument(metavar="DOMAIN")]
Selector = Annotated[str | None, typer.Option(help="Name of the key in DNS.")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="domain")


def _show(domain: dict[str, Any]) -> None:
    print(f"{domain['domain']}  selector {domain['selector']}")
    for record in domain["records"]:
        print(f"  {record['name']}  {record['type']}  {record['value']}")


@group.command("add")
def add(
    context: typer.Context,
    tenant: Tenant,
    domain: Domain,
    selector: Selector = None,
    as_json: AsJson = False,
) -> None:
    """Let a tenant send from DOMAIN (and below it); makes the DKIM key."""
    made = ask(context, "domain.add", {"tenant": tenant, "domain": domain, "selector": selector})
    _one(made, as_json, "publish this record, then `consent-relay doctor` checks it")


@group.command("list")
def list_(context: typer.Context, tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's domains with the DNS records to publish."""
    domains = ask(context, "domain.list", {"tenant": tenant})
    if as_json:
        show_json(domains)
    else:
        for domain in domains:
            _show(domain)


@group.command("rotate")
def rotate(
    context: typer.Context,
    tenant: Tenant,
    domain: Domain,
    selector: Selector = None,
    as_json: AsJson = False,
) -> None:
    """Make the next key under a new selector and sign with it from now on."""
    made = ask(context, "domain.rotate", {"tenant": tenant, "domain": domain, "selector": selector})
    _one(made, as_json, "publish this record now and leave the old one for a week")


@group.command("remove")
def remove(context: typer.Context, tenant: Tenant, domain: Domain, as_json: AsJson = False) -> None:
    """Mail from DOMAIN is refused from now on; the key files stay."""
    removed = ask(context, "domain.remove", {"tenant": tenant, "domain": domain})
    if as_json:
        show_json(removed)
    say(f"{removed['domain']} is removed")


def _one(domain: dict[str, Any], as_json: bool, next_step: str) -> None:
    if as_json:
        show_json(domain)
    else:
        _show(domain)
    say(next_step)
