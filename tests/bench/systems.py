"""The systems under test, each from nothing in a folder of its own and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bench.load import RECIPIENT, SENDER
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.postfix import Postfix, postfix_missing
from tests.support.relay_process import Relay

DOMAIN = SENDER.partition("@")[2]


@dataclass(frozen=True, slots=True)
class Running:
    """A system that takes mail on ``port``."""

    port: int
    relay: Relay | None = None


@dataclass(frozen=True, slots=True)
class System:
    """One line of the table."""

    key: str
    name: str
    does: str
    start: Callable[[int], contextlib.AbstractContextManager[Running]]
    """Takes the upstream's port."""
    missing: Callable[[], str | None]
    """Why it cannot run here, or None."""


@contextlib.contextmanager
def consent_relay(upstream: int) -> Iterator[Running]:
    """This relay, everything on: a commercial list, a recipient with consent on record."""
    with tempfile.TemporaryDirectory(prefix="bench-relay-") as directory:
        relay = new_relay(Path(directory) / "relay", upstream)
        with relay:
            yield Running(relay.smtp_port, relay)
            relay.stop()


def new_relay(directory: Path, upstream: int, recipients: Sequence[str] = (RECIPIENT,)) -> Relay:
    """A relay with one tenant and one commercial list that ``recipients`` consented to; limits
    that would slow the load down are raised, nothing else is changed."""
    relay = Relay(
        directory,
        upstream,
        {
            "limits.tenant_rate": "1000000/second,burst=1000000",
            "limits.tenant_domain_rate": "1000000/second,burst=1000000",
            "limits.quota_messages": 10_000_000,
            "smtp.max_connections_per_minute": 10_000_000,
        },
    )
    relay.add_tenant("shop", DOMAIN)
    relay.add_list("shop", "news")
    relay.add_credential("shop", "load", "--list", "news", "--network", "127.0.0.1/32")
    relay.add_source()
    relay.add_consents("shop", "news", recipients)
    return relay


@contextlib.contextmanager
def direct(upstream: int) -> Iterator[Running]:
    """Nothing in between: what load generator and sink can do here."""
    yield Running(upstream)


@contextlib.contextmanager
def postfix_queue(upstream: int) -> Iterator[Running]:
    """Postfix, store and forward."""
    with Postfix(upstream) as postfix:
        yield Running(postfix.port)


@contextlib.contextmanager
def postfix_proxy(upstream: int) -> Iterator[Running]:
    """Postfix smtpd as a pass-through proxy."""
    options = {"smtpd_proxy_filter": f"127.0.0.1:{upstream}"}
    with Postfix(upstream, smtpd_options=options) as postfix:
        yield Running(postfix.port)


@contextlib.contextmanager
def postfix_rspamd(upstream: int) -> Iterator[Running]:
    """Postfix with rspamd as milter: RSA-2048 signing and a rate limit in redis."""
    with (
        peer_directory() as directory,
        redis(directory) as redis_port,
        rspamd(directory, redis_port) as milter,
        Postfix(upstream, parameters=milter_parameters(milter)) as postfix,
    ):
        yield Running(postfix.port)


@contextlib.contextmanager
def postfix_opendkim(upstream: int) -> Iterator[Running]:
    """Postfix with OpenDKIM as milter: RSA-2048 signing."""
    with (
        peer_directory() as directory,
        opendkim(directory) as milter,
        Postfix(upstream, parameters=milter_parameters(milter)) as postfix,
    ):
        yield Running(postfix.port)


def milter_parameters(port: int) -> dict[str, str]:
    """Postfix parameters for a milter that must not be missed."""
    return {
        "smtpd_milters": f"inet:127.0.0.1:{port}",
        "milter_protocol": "6",
        "milter_default_action": "tempfail",
    }


@contextlib.contextmanager
def peer_directory() -> Iterator[Path]:
    """A folder that daemons with a user of their own can reach."""
    directory = Path(tempfile.mkdtemp(prefix="bench-peer-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def daemon(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """A foreground daemon; yields when it answers on ``port``, ends it by its process id."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually(
            lambda: process.poll() is not None or listening(port), f"{command[0]} on {port}", 60
        )
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended at once: {log.read_text('utf-8', 'replace')}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listening(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[int]:
    """A redis that keeps nothing on disk; its port."""
    port = free_port()
    options = [*("--bind", "127.0.0.1"), *("--save", ""), *("--appendonly", "no")]
    command = ["redis-server", "--port", str(port), "--dir", str(directory), *options]
    with daemon(command, port, directory / "redis.log"):
        yield port


@contextlib.contextmanager
def rspamd(directory: Path, redis_port: int) -> Iterator[int]:
    """rspamd's self-scanning milter proxy with dkim_signing and ratelimit alone; its port."""
    port = free_port()
    for name in ("db", "run"):
        (directory / name).mkdir()
        shutil.chown(directory / name, "_rspamd")
    key = dkim_key(directory, "_rspamd")
    # what the two modules need of rspamd's start-up file, without the rules that it also loads
    (directory / "modules.lua").write_text(
        'require "global_functions" ()\nconfig = {}\nrspamd_maps = {}\n'
    )
    config = directory / "rspamd.conf"
    config.write_text(
        RSPAMD.format(directory=directory, port=port, redis=redis_port, key=key, domain=DOMAIN)
    )
    command = ["rspamd", "-f", "-c", str(config), "-u", "_rspamd", "-g", "_rspamd"]
    with daemon(
        [
            *command,
            *("--var", f"DBDIR={directory}/db", "--var", f"RUNDIR={directory}/run"),
        ],
        port,
        directory / "rspamd.log",
    ):
        yield port


RSPAMD = """
options {{
  pidfile = "{directory}/run/rspamd.pid";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  hs_cache_dir = "{directory}/db/";
  cache_file = "{directory}/db/symbols.cache";
  history_file = "{directory}/db/history";
  control_socket = "{directory}/db/rspamd.sock mode=0600";
  filters = "dkim";
  explicit_modules = [];
  local_addrs = [127.0.0.0/8];
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 1s; }}
}}
logging {{ type = "console"; level = "warning"; }}
actions {{ reject = 1000; add_header = 900; greylist = 800; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}";
  milter = yes;
  timeout = 120s;
  count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
redis {{ servers = "127.0.0.1:{redis}"; }}
modules {{
  path = "/usr/share/rspamd/plugins/dkim_signing.lua";
  path = "/usr/share/rspamd/plugins/ratelimit.lua";
}}
lua = "{directory}/modules.lua";
dkim_signing {{
  sign_local = true;
  use_esld = false;
  use_domain = "header";
  domain {{ {domain} {{ path = "{key}"; selector = "bench"; }} }}
}}
ratelimit {{
  rates {{ sender {{ selector = "from"; bucket = {{ burst = 1000000; rate = "1000000 / 1s"; }} }} }}
}}
"""


@contextlib.contextmanager
def opendkim(directory: Path) -> Iterator[int]:
    """OpenDKIM, signing; its port."""
    port = free_port()
    key = dkim_key(directory, "opendkim")
    config = directory / "opendkim.conf"
    config.write_text(
        f"Socket inet:{port}@127.0.0.1\nMode s\nDomain {DOMAIN}\nSelector bench\nKeyFile {key}\n"
        "Canonicalization relaxed/relaxed\nInternalHosts 127.0.0.1\nUserID opendkim\n"
        "Background no\nSyslog no\nOversignHeaders From\n"
        # the folder is below a world-writable one; the key itself is readable by its user alone
        "RequireSafeKeys no\n"
    )
    command = ["opendkim", "-f", "-x", str(config)]
    with daemon(command, port, directory / "opendkim.log"):
        yield port


def dkim_key(directory: Path, user: str) -> Path:
    """A new RSA-2048 key that ``user`` alone can read."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = directory / "dkim.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    shutil.chown(path, user)
    return path


def needs(*programs: str) -> Callable[[], str | None]:
    """A check that Postfix can run here and that these programs are installed."""

    def missing() -> str | None:
        lacking = [name for name in programs if shutil.which(name, path=SEARCH) is None]
        return f"{', '.join(lacking)} not installed" if lacking else postfix_missing()

    return missing


SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

SYSTEMS = (
    System(
        "relay",
        "consent-relay",
        "consent query, injected fields, RSA-2048 DKIM, durable commit",
        consent_relay,
        lambda: None,
    ),
    System(
        "rspamd",
        "Postfix + rspamd",
        "durable queue, RSA-2048 DKIM, rate limit in redis",
        postfix_rspamd,
        needs("rspamd", "redis-server"),
    ),
    System(
        "opendkim",
        "Postfix + OpenDKIM",
        "durable queue, RSA-2048 DKIM",
        postfix_opendkim,
        needs("opendkim"),
    ),
    System(
        "queue",
        "Postfix store and forward",
        "durable queue, nothing else",
        postfix_queue,
        needs(),
    ),
    System(
        "proxy",
        "Postfix smtpd_proxy_filter",
        "pass-through, nothing stored",
        postfix_proxy,
        needs(),
    ),
    System(
        "direct",
        "source to sink directly",
        "nothing: the limit of this machine",
        direct,
        lambda: None,
    ),
)
