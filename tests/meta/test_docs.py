"""The documentation says what the product does: fresh, whole, and its commands work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel

from docs.generator.api import answers, bodies
from docs.generator.commands import command_tree, is_group
from docs.generator.metrics import series
from docs.generator.reference import REFERENCE, pages, undescribed
from docs.generator.words import NOT_FED
from relay.consent.passing_on import signed
from relay.consent.signed import read_token
from relay.consent.source_keys import write_keys
from relay.decide.rulebook import load
from relay.model import Reason, Source
from relay.observe.metrics import Metrics
from relay.settings import Settings
from relay.settings_file import section_of
from relay.store.outbox.outbox import WEBHOOK, Notice
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.smtp_sink import sink_thread

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if page.parent != REFERENCE]
"""Pages by hand."""
COMMANDS = dict(command_tree())
POSTFIX = sorted((ROOT / "config" / "postfix").glob("*.cf"))


def name(path: Path) -> str:
    """The path as it is known in the repository, for test ids."""
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=name)
each_written = pytest.mark.parametrize("page", WRITTEN, ids=name)


# --- The generated reference ------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted(pages()))
def test_the_reference_is_fresh(page: str) -> None:
    assert (REFERENCE / page).read_text("utf-8") == pages()[page], "run: make docs"


def test_nothing_else_lies_in_the_reference() -> None:
    assert sorted(path.name for path in REFERENCE.iterdir()) == sorted(pages())


@pytest.mark.parametrize("kind", sorted(undescribed()))
def test_everything_has_words(kind: str) -> None:
    assert undescribed()[kind] == set(), f"see docs/generator/words.py: {kind}"


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all plain settings; those of an array of tables stand alone."""
    for key, field in section.model_fields.items():
        below = section_of(field.annotation)
        if below is None:
            yield prefix + key
        else:
            yield from keys(below, "" if prefix else f"{key}.")


def test_every_setting_is_documented() -> None:
    text = (REFERENCE / "configuration.md").read_text("utf-8")
    assert [key for key in keys(Settings) if f"| `{key}` |" not in text] == []


def test_every_reason_is_documented() -> None:
    text = (REFERENCE / "reasons.md").read_text("utf-8")
    assert [reason for reason in Reason if f"\n## {reason.value}\n" not in text] == []


def test_every_metric_is_documented() -> None:
    text = (REFERENCE / "metrics.md").read_text("utf-8")
    families = [(family.name, family.type) for family in Metrics("0").registry.collect()]
    names = [family + ("_total" if kind == "counter" else "") for family, kind in families]
    assert len(names) > 10
    assert [series for series in names if f"| `{series}` |" not in text] == []


def test_every_command_is_documented() -> None:
    text = (REFERENCE / "commands.md").read_text("utf-8")
    names = list(COMMANDS)
    assert {"serve", "list add", "quarantine release"} <= set(names)
    assert [command for command in names if not re.search(rf"^##+ {command}$", text, re.M)] == []


def test_metrics_that_nothing_feeds_are_said_to_be_so() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "relay").rglob("*.py"))
    assert {series for series, call in NOT_FED.items() if call in sources} == set()
    assert set(NOT_FED) <= {one for one, _, _, _ in series()}


# --- The API ----------------------------------------------------------------------------------


def test_every_example_of_a_body_is_one() -> None:
    for schema, example in bodies():
        jsonschema_rs.validate(schema, example)
    assert len(bodies()) > 10


def test_every_answer_that_is_shown_is_one() -> None:
    for schema, answer in answers():
        jsonschema_rs.validate(schema, answer)
    assert len(answers()) > 5


def code_of(page: str, language: str) -> str:
    """The first example of a page in that language."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return str(re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)[0])


def test_the_signing_example_makes_a_consent_that_is_taken(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "webshop.pem").write_bytes(pem)
    done = subprocess.run(
        [sys.executable, "-c", code_of("consent.md", "python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    said = read_token(
        done.stdout.strip(),
        sources={"webshop": Source(1, "webshop", True, write_keys([key.public_key()]))},
        tenant="shop",
        mailing_list="news",
        audiences=["https://mail.example.net"],
        now=time.time(),
    )
    assert said.address.wire == "greta@people.example"


def webhooks() -> list[tuple[bool, str, dict[str, str], bytes]]:
    """Webhooks as they arrive: whether each is to be believed, the secret, header and body."""
    notice = Notice(
        id=1,
        tenant_id=1,
        kind=WEBHOOK,
        lane="webhook:1",
        url="https://shop.example/hooks/consent",
        payload=json.dumps({"id": "evt_1", "type": "optout"}),
        attempts=0,
        created_at=0.0,
        secret="whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=",
        address="anna@people.example",
    )
    assert notice.secret is not None
    body, headers = signed(notice, int(time.time()))
    old = signed(notice, int(time.time()) - 4_000)
    return [
        (True, notice.secret, headers, body),
        (False, notice.secret, headers, body + b" "),
        (False, "whsec_b3RoZXI=", headers, body),
        (False, notice.secret, old[1], old[0]),
        (False, notice.secret, {}, body),
        (False, notice.secret, {**headers, "webhook-timestamp": "soon"}, body),
        (False, notice.secret, {**headers, "webhook-signature": "v1,\u00e9 x"}, body),
    ]


def test_the_example_that_checks_a_webhook_believes_ours_and_no_other() -> None:
    found: dict[str, Any] = {}
    exec(code_of("integration.md", "python"), found)
    for genuine, secret, headers, body in webhooks():
        assert found["genuine"](secret, headers, body) is genuine


@pytest.mark.skipif(shutil.which("php") is None, reason="php is not installed (Debian: php-cli)")
def test_so_does_the_one_in_php() -> None:
    code = code_of("integration.md", "php") + (
        "$said = json_decode(stream_get_contents(STDIN), true);"
        "$_SERVER = $said['server'];"
        "echo json_encode(genuine($said['secret'], $said['body']));"
    )
    for genuine, secret, headers, body in webhooks():
        server = {"HTTP_" + key.upper().replace("-", "_"): value for key, value in headers.items()}
        done = subprocess.run(
            ["php", "-r", code],
            input=json.dumps({"server": server, "secret": secret, "body": body.decode()}),
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert json.loads(done.stdout) is genuine, done.stderr


# --- Links and names --------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@each_page
def test_no_link_is_dead(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@each_written
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    # Without a dot or a slash at the end it is a program's name in the log, such as relay/smtp.
    named = re.findall(
        r"`((?:relay|config|policies|systemd|tests)/[\w/*-]*(?:\.[\w*]+|/))`",
        page.read_text("utf-8"),
    )
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


@each_written
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {*keys(Settings), "smtp.listeners"}
    sections = "|".join(key for key in Settings.model_fields if key != "hostname")
    named = re.findall(rf"`((?:{sections})\.[a-z_]+)\b", page.read_text("utf-8"))
    files = {path.name for path in (ROOT / "relay").rglob("*.py")}
    assert [key for key in named if key not in known | files] == []


@each_written
def test_metrics_that_are_named_exist(page: Path) -> None:
    known = {one for one, _, _, _ in series()}
    named = re.findall(r"\brelay_[a-z_]+", page.read_text("utf-8"))
    assert [one for one in named if one not in known] == []


# --- Commands ---------------------------------------------------------------------------------


def typed(page: Path) -> Iterator[str]:
    """Command lines on a page: indented lines, and code within a sentence."""
    text = page.read_text("utf-8")
    for line in re.findall(r"^    (?:.*\| )?(consent-relay .*)$", text, re.M):
        yield re.split(r" \| |  +#", line)[0]
    groups = {command for command, one in COMMANDS.items() if is_group(one)}
    for code in re.findall(r"`([^`\n]+)`", text):
        words = code.removeprefix("consent-relay ").split(" ")
        if code.startswith("consent-relay ") or (len(words) > 1 and words[0] in groups):
            yield f"consent-relay {' '.join(words)}"


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name (None for no command), and the words behind it."""
    for length in (2, 1):
        found = COMMANDS.get(" ".join(words[:length]))
        if found is not None and not is_group(found):
            return found, words[length:]
    return None, words


@each_written
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    wrong = []
    for line in typed(page):
        words = shlex.split(line.replace("…", "X"))[1:]
        command, rest = command_of(words)
        if command is None:
            wrong.append(line)
            continue
        known = {flag for one in command.params for flag in [*one.opts, *one.secondary_opts]}
        wrong += [line for word in rest if word.startswith("--") and word not in known]
    assert wrong == []


def blocks(page: Path, heading: str) -> list[list[str]]:
    """The indented blocks under a heading, as lines."""
    _, _, rest = page.read_text("utf-8").partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    found = re.findall(r"(?:^    .*\n?)+", section, re.M)
    return [[line[4:] for line in block.splitlines()] for block in found]


def run_lines(lines: list[str], directory: Path, environment: dict[str, str]) -> str:
    """What a shell prints that is given these lines and stops at the first that fails."""
    done = subprocess.run(
        ["bash", "-eux"],
        input="\n".join(lines),
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
def test_the_five_minutes_of_the_readme_work(tmp_path: Path) -> None:
    start, after = blocks(README, "Five minutes")
    # The set-up has been done, or this would not run.
    assert start[:2] == ["make setup", ". .venv/bin/activate"]
    assert start[-1] == "consent-relay serve"
    home = tmp_path / "my-relay"
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        # Never touch a relay that is installed on the machine.
        "CONSENT_RELAY_CONFIG": str(home / "relay.toml"),
    }
    smtp, http, admin, metrics = (free_port() for _ in range(4))
    elsewhere = (
        f" --smtp 127.0.0.1:{smtp} --http 127.0.0.1:{http}"
        f" --admin 127.0.0.1:{admin} --metrics 127.0.0.1:{metrics}"
    )
    with sink_thread() as upstream, (tmp_path / "log").open("w+") as log:
        begin = start[2].replace(
            " --upstream 127.0.0.1:25", f" --upstream 127.0.0.1:{upstream.port}"
        )
        printed = run_lines([begin + elsewhere, *start[3:-1]], tmp_path, environment)
        assert "relay1._domainkey.shop.example" in printed
        assert "1 row recorded" in printed
        secret = re.search(r"^secret +(\S+)$", printed, re.M)
        assert secret is not None
        serve = subprocess.Popen(start[-1].split(), cwd=home, env=environment, stderr=log)
        try:
            eventually(
                lambda: "ready http.metrics" in (tmp_path / "log").read_text(), "the relay is up"
            )
            lines = [
                line.replace(":2525", f":{smtp}")
                .replace(":9925", f":{metrics}")
                .replace("SECRET", secret[1])
                for line in after
                if "doctor" not in line  # asks the DNS of the world
            ]
            printed = run_lines(lines, home, environment)
        finally:
            serve.terminate()
            serve.wait(timeout=75)
    assert re.findall(r"Ok: \S+ (.*)$", printed, re.M) == [
        line.rpartition("# ")[2] for line in after if line.startswith("swaks")
    ]
    assert "bob@people.example: quarantine (no-consent" in printed
    assert "the chain holds" in printed
    assert "relay_recipients_total" in printed


# --- Examples of configuration ------------------------------------------------------------------


def examples(page: Path) -> list[str]:
    """The TOML blocks of a page."""
    return re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@each_written
def test_toml_examples_hold(page: Path) -> None:
    for text in examples(page):
        if "[[rule]]" in text:
            rulebook = load("example", f'title = "Example"\nversion = "1"\n{text}', name(page))
            assert rulebook.examples > 0
        else:
            Settings.model_validate(tomllib.loads(text))


def test_there_are_toml_examples() -> None:
    assert sum(len(examples(page)) for page in WRITTEN) > 3


@pytest.mark.skipif(shutil.which("postconf") is None, reason="postfix is not installed")
@pytest.mark.parametrize("example", POSTFIX, ids=name)
def test_postfix_knows_every_parameter_of_the_examples(example: Path, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "compatibility_level = 3.6\n" + example.read_text("utf-8"), "utf-8"
    )
    (tmp_path / "master.cf").write_text("smtp unix - - n - - smtp\n", "utf-8")
    done = subprocess.run(
        ["postconf", "-c", str(tmp_path), "-n"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    assert "=" in done.stdout
