"""Webhooks out and in."""

from __future__ import annotations

from tests.support.api_rig import Rig

URL = "https://shop.example/hooks/consent"


async def test_a_webhook_comes_and_goes(rig: Rig) -> None:
    made = await rig.post_to("/webhooks", {"url": URL})
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    listed = await rig.get("/webhooks")
    assert [one["url"] for one in listed.json()["webhooks"]] == [URL]
    assert made.json()["secret"] not in listed.text
    assert (await rig.post_to("/webhooks", {"url": URL})).status_code == 409
    assert (await rig.ask("DELETE", "/webhooks", "club", params={"url": URL})).status_code == 404
    assert (await rig.ask("DELETE", "/webhooks", params={"url": URL})).status_code == 200
    assert (await rig.get("/webhooks")).json() == {"webhooks": []}


async def test_what_must_not_be_called_is_refused(rig: Rig) -> None:
    for url in ("http://127.0.0.1:8081/", "https://[::1]/", "http://shop.example/", "ftp://x/"):
        answer = await rig.post_to("/webhooks", {"url": url})
        assert answer.status_code == 422, url
        assert answer.json()["errors"][0]["pointer"] == "#/url"


async def test_a_hook_opens_one_door_of_one_list(rig: Rig) -> None:
    wanted = {"name": "listmonk", "format": "listmonk", "list": "news"}
    made = await rig.post_to("/hooks", wanted)
    assert made.status_code == 201
    secret = made.json()["url"].removeprefix("https://relay.test/hooks/")
    hook = await rig.store.inbound_hooks.of_secret(secret)
    assert hook is not None
    assert (hook.tenant_id, hook.list_id) == (rig.shop.id, rig.news.id)
    assert (await rig.post_to("/hooks", wanted)).status_code == 409
    assert (await rig.post_to("/hooks", {**wanted, "name": "x", "list": "post"})).status_code == 404
    listed = await rig.get("/hooks")
    assert [one["name"] for one in listed.json()["hooks"]] == ["listmonk"]
    assert secret not in listed.text
    assert (await rig.get("/hooks", "club")).json() == {"hooks": []}


async def test_a_closed_door_stays_closed(rig: Rig) -> None:
    made = await rig.post_to("/hooks", {"name": "mc", "format": "mailchimp"})
    secret = made.json()["url"].rpartition("/")[2]
    assert (await rig.ask("DELETE", "/hooks/mc", "club")).status_code == 404
    assert (await rig.ask("DELETE", "/hooks/mc")).status_code == 200
    assert (await rig.ask("DELETE", "/hooks/mc")).status_code == 404
    assert await rig.store.inbound_hooks.of_secret(secret) is None
