"""A private Postfix: own configuration, queue and data folders, high ports, own log."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from tests.support.eventually import eventually
from tests.support.ports import free_port

SERVICES = """\
postlog   unix-dgram n  -       n       -       1       postlogd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
"""


def postfix_missing() -> str | None:
    """Why no Postfix can be started here, in words for a skip; None when it can."""
    if shutil.which("postfix") is None:
        return "postfix is not installed"
    if os.geteuid() != 0:
        return "a private Postfix can only be started by root"
    return None


class Postfix:
    """``with Postfix(relayhost=PORT) as postfix``: takes mail on ``postfix.port`` from loopback
    and passes all of it on to ``127.0.0.1:relayhost``.

    ``parameters`` are lines of main.cf; ``services`` lines of master.cf; ``smtpd_options`` are
    ``-o`` overrides of the smtpd on ``port``.
    """

    def __init__(
        self,
        relayhost: int,
        *,
        parameters: Mapping[str, str] | None = None,
        smtpd_options: Mapping[str, str] | None = None,
        services: Iterable[str] = (),
        process_limit: int = 100,
    ) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="postfix-"))
        # the daemons run as user postfix and must be able to reach their folders
        self.directory.chmod(0o755)
        self.config = self.directory / "etc"
        self.log = self.directory / "maillog"
        for name in ("etc", "queue", "data"):
            (self.directory / name).mkdir()
        main = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.directory / "queue"),
            "data_directory": str(self.directory / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(self.directory),
            "multi_instance_name": "postfix-test",
            "inet_interfaces": "loopback-only",
            "inet_protocols": "ipv4",
            "myhostname": "postfix.test",
            "mydestination": "",
            "local_transport": "error:no local mail",
            "alias_maps": "",
            "alias_database": "",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "relayhost": f"[127.0.0.1]:{relayhost}",
            "smtp_tls_security_level": "none",
            "smtputf8_enable": "yes",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_client_connection_rate_limit": "0",
            **(parameters or {}),
        }
        options = "".join(f"\n  -o {key}={value}" for key, value in (smtpd_options or {}).items())
        listener = f"127.0.0.1:{self.port} inet n - n - {process_limit} smtpd{options}\n"
        self.main = "".join(f"{key} = {value}\n" for key, value in main.items())
        self.master = listener + SERVICES + "".join(f"{line}\n" for line in services)

    def __enter__(self) -> Postfix:
        (self.config / "main.cf").write_text(self.main)
        (self.config / "master.cf").write_text(self.master)
        shutil.chown(self.directory / "data", "postfix")
        started = self._postfix("start")
        if started.returncode:
            raise RuntimeError(f"postfix start: {started.stderr}{started.stdout}{self.read_log()}")
        eventually(lambda: "daemon started" in self.read_log(), "Postfix to start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print("--- Postfix's log:", self.read_log()[-8000:], sep="\n")
        self._postfix("stop")
        eventually(lambda: self._postfix("status").returncode != 0, "Postfix to stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def read_log(self) -> str:
        """Everything it logged so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def _postfix(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["postfix", "-c", str(self.config), verb],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
