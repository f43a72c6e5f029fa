"""The tenant's lists, what people are shown of them, and sign-ups from the tenant's own forms."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from relay.api.calling import Active, Me, OwnList, Using
from relay.api.cursors import After, Limit, decode, encode
from relay.api.problems import ApiProblem, Kind, invalid
from relay.api.route import ENDS_IN, ApiRoute
from relay.api.services import Services
from relay.api.values import (
    FormUrl,
    Given,
    IpAddress,
    Locale,
    MailAddress,
    Moment,
    Shown,
    UserAgent,
    mailbox,
    moment,
)
from relay.decide.notice import LONGEST, NoticeRefused
from relay.model import Kind as MailKind
from relay.model import MailingList, ScopeLevel, Tenant
from relay.store.people.notice_versions import NoticeVersion
from relay.web.asking import Asked, SignUpRequest
from relay.web.language import negotiate

TOO_MANY_SECONDS: Final = 60
"""After which one network may ask for more addresses."""

router = APIRouter(route_class=ApiRoute, tags=["Lists and sign-ups"])

Question = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST),
    Field(
        description="The text beside the box that the person ticks.",
        examples=["Send me the weekly newsletter of Shop BV."],
    ),
]


class ListShown(Shown):
    """One subscription."""

    slug: str
    kind: MailKind
    purpose: str = Field(description="What is sent.")
    promise: str = Field(description="How often.", examples=["1/week"])
    brand: str | None = Field(description="Slug.")
    scope: ScopeLevel = Field(description="The level at which consent is asked.")
    third_parties: str = Field(description="Whom addresses are given to; empty: nobody.")
    archived: bool


ListItems: TypeAlias = list[ListShown]


class ListsShown(Shown):
    """A page of lists, by slug."""

    lists: ListItems
    next: str | None = Field(description="Give it as `after` for the next page; null at the end.")


class NewNotice(Given):
    """What a form of yours shows."""

    question: Question
    locale: Locale = "en"
    purpose: Annotated[
        str | None,
        StringConstraints(min_length=1, max_length=LONGEST),
        Field(description="What is sent, in the language of the question; null: as the list says."),
    ] = None


class NoticeShown(Shown):
    """One version of what people are shown before they consent."""

    id: int = Field(description="Give it as `notice` of a sign-up or consent.", ge=1)
    version: int = Field(description="Counts from 1 for each list.", ge=1)
    language: str = Field(examples=["nl"])
    question: str = Field(description="The text beside the box.")
    purpose: str = Field(description="What is sent.")
    promise: str = Field(description="How often.")
    sender: str = Field(description="Under what name mail comes: of the brand, or of the tenant.")
    party: str = Field(description="Name of the legal person that sends.")
    postal_address: str = Field(description="Of the party.")
    registration: str = Field(description="Of the party; empty when it has none.")
    contact: str = Field(description="Mail address of the party.")
    third_parties: str = Field(description="Whom addresses are given to; empty: nobody.")
    scope: ScopeLevel = Field(description="What the consent covers.")
    digest: str = Field(description="SHA-256 over all of it.")
    since: Moment


NoticeItems: TypeAlias = list[NoticeShown]


class NoticesShown(Shown):
    """A page of versions, oldest first."""

    notices: NoticeItems
    next: str | None = Field(description="Give it as `after` for the next page; null at the end.")


class SignUp(Given):
    """A person's request for mail, made in a form of yours."""

    address: MailAddress
    ip: IpAddress
    form_url: FormUrl
    user_agent: UserAgent | None = None
    notice: Annotated[
        Annotated[int, Field(ge=1, lt=2**62)] | Question | None,
        Field(
            description="What your form showed: the id of a version, or the text of the question,"
            " which is then stored as one; null: the list's current notice.",
            examples=["Send me the weekly newsletter of Shop BV."],
        ),
    ] = None
    locale: Annotated[
        Locale | None,
        Field(description="Language tag of the person, as nl or en-GB; null: en.", examples=["nl"]),
    ] = None


class Pending(Shown):
    """The request is taken."""

    state: Literal["pending"] = "pending"


@router.get("/lists", summary="Show your lists")
async def listing(
    tenant: Me, services: Using, after: After = None, limit: Limit = 100
) -> ListsShown:
    """Archived ones too: consents and opt-outs name them."""
    (last,) = decode(after, str) if after is not None else ("",)
    directory = services.store.directory
    own = sorted(
        (one for one in directory.lists.values() if one.tenant_id == tenant.id and one.slug > last),
        key=lambda one: one.slug,
    )
    page = own[:limit]
    return ListsShown(
        lists=[_list(services, one) for one in page],
        next=encode(page[-1].slug) if len(own) > limit else None,
    )


@router.get("/lists/{list}/notices", summary="Show what people were shown")
async def notices(
    tenant: Me, mailing_list: OwnList, services: Using, after: After = None, limit: Limit = 100
) -> NoticesShown:
    """Every version for ever: consents point at them."""
    (last,) = decode(after, int) if after is not None else (0,)
    found = await services.sign_ups.notices(tenant, mailing_list)
    rest = [one for one in found if one.version > last]
    page = rest[:limit]
    return NoticesShown(
        notices=[_notice(one) for one in page],
        next=encode(page[-1].version) if len(rest) > limit else None,
    )


@router.post(
    "/lists/{list}/notices",
    status_code=201,
    summary="Store what your form shows",
    description="The rest of the notice (who sends, what, how often, who else gets the address)"
    " comes from the list. The same words again are the same version. A phrase such as “selected"
    " partners” is refused: name every party.",
)
async def add_notice(
    wanted: NewNotice, tenant: Active, mailing_list: OwnList, services: Using
) -> NoticeShown:
    """Before anybody is shown it."""
    made = await _stored(
        services, tenant, mailing_list, wanted.question, wanted.locale, "#/question", wanted.purpose
    )
    return _notice(made)


@router.post(
    "/lists/{list}/subscriptions",
    status_code=202,
    summary="Ask a person to confirm",
    description="For your own sign-up form: send this once the person has pressed the button. The"
    " relay mails the person a link to confirm, and only then mail may be sent. The answer is the"
    " same whether the address is known or not, and whether or not a cap holds the mail back.",
    openapi_extra={ENDS_IN: [Kind.CONFLICT]},
)
async def subscribe(
    wanted: SignUp, tenant: Active, mailing_list: OwnList, services: Using
) -> Pending:
    """The token goes to the person alone."""
    mailbox(wanted.address, pointer="#/address")
    notice, locale = wanted.notice, wanted.locale or "en"
    if isinstance(notice, str):
        stored = await _stored(services, tenant, mailing_list, notice, locale, "#/notice", None)
        notice = stored.id
    asked = await services.sign_ups.ask(
        SignUpRequest(
            tenant=tenant.slug,
            mailing_list=mailing_list.slug,
            address=wanted.address,
            notice=notice,
            language=negotiate(locale.replace("_", "-")),
            ip=wanted.ip,
            user_agent=wanted.user_agent or "",
            form_url=wanted.form_url,
            act="api",
        )
    )
    match asked:
        case Asked.TAKEN:
            return Pending()
        case Asked.BAD_ADDRESS:
            raise invalid(
                "No confirmation can be mailed there: its domain is not one of the internet.",
                pointer="#/address",
            )
        case Asked.UNKNOWN_NOTICE:
            raise invalid(
                "It is not the id of a version of this list's notice. `GET /lists/{list}/notices`"
                " shows them; the text of the question does, too.",
                pointer="#/notice",
            )
        case Asked.UNKNOWN_LIST:
            raise ApiProblem(
                Kind.CONFLICT, "Nobody can sign up to this list: it is archived, or not commercial."
            )
        case Asked.NO_SENDER:
            raise ApiProblem(
                Kind.CONFLICT,
                "Nobody can sign up yet: you have no sender domain for which the confirmation mail"
                " could be signed. Ask the operator to add one.",
            )
        case Asked.TOO_MANY:
            raise ApiProblem(
                Kind.TOO_MANY,
                "The network of this ip asks for too many addresses. Let the person try later.",
                headers={"Retry-After": str(TOO_MANY_SECONDS)},
            )


async def _stored(
    services: Services,
    tenant: Tenant,
    mailing_list: MailingList,
    question: str,
    language: str,
    pointer: str,
    purpose: str | None,
) -> NoticeVersion:
    try:
        return await services.sign_ups.add_notice(
            tenant,
            mailing_list,
            language=negotiate(language.replace("_", "-")),
            question=question,
            purpose=purpose,
        )
    except NoticeRefused as error:
        raise invalid(f"It cannot be shown to anybody: {error}.", pointer=pointer) from error


def _list(services: Services, one: MailingList) -> ListShown:
    brand = services.store.directory.brand(one.brand_id)
    return ListShown(
        slug=one.slug,
        kind=one.kind,
        purpose=one.purpose,
        promise=one.promise,
        brand=brand.slug if brand is not None else None,
        scope=one.consent_scope,
        third_parties=one.third_parties,
        archived=one.archived,
    )


def _notice(one: NoticeVersion) -> NoticeShown:
    said = one.content
    return NoticeShown(
        id=one.id,
        version=one.version,
        language=one.language,
        question=said.question,
        purpose=said.purpose,
        promise=said.promise,
        sender=said.sender,
        party=said.party,
        postal_address=said.postal_address,
        registration=said.registration,
        contact=said.contact,
        third_parties=said.third_parties,
        scope=ScopeLevel(said.scope),
        digest=one.digest,
        since=moment(one.at),
    )
