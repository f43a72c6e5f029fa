"""``tenant``: the hosting customers."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask, given_only
from relay.cli.output import AsJson, say, show_record, show_rows
from relay.model import Mode
from relay.operate.choices import NoConsent

group = typer.Typer(help="The hosting customers.", rich_markup_mode=None)

Slug = Annotated[str, typer.Argument(metavar="SLUG")]
Rulebooks = Annotated[
    list[str] | None,
    typer.Option("--rulebook", metavar="NAME", help="May be repeated; all of them judge."),
]
Rate = Annotated[
    str | None, typer.Option(metavar="N/PERIOD[,burst=N]", help="Recipients, e.g. 1000/hour.")
]
Daily = Annotated[int | None, typer.Option(min=0, help="Recipients of one-to-one mail in a day.")]
Attested = Annotated[
    bool | None,
    typer.Option(
        "--attested-admitted/--attested-not-admitted",
        help="Take the tenant's word for consent (clause A11).",
    ),
]
OnNoConsent = Annotated[
    NoConsent | None, typer.Option("--action", help="What lack of consent leads to.")
]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="tenant")


@group.command("add")
def add(
    context: typer.Context,
    slug: Slug,
    name: Annotated[str, typer.Option(help="Name of the legal person.")],
    address: Annotated[str, typer.Option(help="Its postal address.")],
    contact: Annotated[str, typer.Option(metavar="EMAIL", help="Gets notices of held mail.")],
    registration: Annotated[str | None, typer.Option(help="E.g. the KVK number.")] = None,
    rulebook: Rulebooks = None,
    mode: Mode = Mode.ENFORCE,
    operator: Annotated[bool, typer.Option("--operator", help="The operator itself.")] = False,
    action: OnNoConsent = None,
    rate: Rate = None,
    personal_per_day: Daily = None,
    attested_admitted: Attested = None,
    as_json: AsJson = False,
) -> None:
    """Add a tenant."""
    options = given_only(
        registration=registration,
        rulebooks=rulebook or None,
        action=action,
        rate=rate,
        personal_per_day=personal_per_day,
        attested_admitted=attested_admitted,
    )
    tenant = ask(
        context,
        "tenant.add",
        {
            "slug": slug,
            "name": name,
            "address": address,
            "contact": contact,
            "mode": mode,
            "operator": operator,
            **dict(options),
        },
    )
    show_record(tenant, as_json)


@group.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """All tenants."""
    rows = ask(context, "tenant.list", {})
    show_rows(rows, ("slug", "name", "state", "mode", "rulebooks", "contact"), as_json)


@group.command("show")
def show(context: typer.Context, slug: Slug, as_json: AsJson = False) -> None:
    """One tenant with all its settings."""
    show_record(ask(context, "tenant.show", {"slug": slug}), as_json)


@group.command("set")
def set_(
    context: typer.Context,
    slug: Slug,
    name: Annotated[str | None, typer.Option()] = None,
    address: Annotated[str | None, typer.Option()] = None,
    contact: Annotated[str | None, typer.Option(metavar="EMAIL")] = None,
    registration: Annotated[str | None, typer.Option()] = None,
    rulebook: Rulebooks = None,
    mode: Annotated[Mode | None, typer.Option()] = None,
    action: OnNoConsent = None,
    rate: Rate = None,
    personal_per_day: Daily = None,
    attested_admitted: Attested = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, leave the rest. An empty --rate or --registration removes it."""
    options = given_only(
        name=name,
        address=address,
        contact=contact,
        registration=registration,
        rulebooks=rulebook or None,
        mode=mode,
        action=action,
        rate=rate,
        personal_per_day=personal_per_day,
        attested_admitted=attested_admitted,
    )
    show_record(ask(context, "tenant.set", {"slug": slug, **dict(options)}), as_json)


@group.command("suspend")
def suspend(
    context: typer.Context,
    slug: Slug,
    reason: Annotated[str, typer.Option(help="For the tenant and the record.")],
    as_json: AsJson = False,
) -> None:
    """Take no more mail from a tenant (450 4.7.1) until it is resumed."""
    show_record(ask(context, "tenant.suspend", {"slug": slug, "reason": reason}), as_json)
    say(f"{slug} is suspended")


@group.command("resume")
def resume(context: typer.Context, slug: Slug, as_json: AsJson = False) -> None:
    """Let a suspended tenant send again."""
    show_record(ask(context, "tenant.resume", {"slug": slug}), as_json)
    say(f"{slug} may send")
