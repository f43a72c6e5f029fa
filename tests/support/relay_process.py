"""The relay as its users have it: a folder made by ``init``, the command line, a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.ports import free_port

COMMAND = (sys.executable, "-m", "relay")

BATCH = """
import contextlib, io, json, sys
from relay.cli.program import run
printed = []
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = run(arguments)
    if status:
        sys.exit(f"{arguments}: exit {status}: {output.getvalue()}")
    printed.append(output.getvalue())
print(json.dumps(printed))
"""

READY_WITHIN = 30.0
"""Seconds until every listener must be ready."""

EXIT_WITHIN = 75.0
"""Seconds until a terminated relay must be gone."""


class Relay:
    """One relay in one folder; started and stopped as often as a test likes.

    ``upstream`` is the port of the next MTA on loopback. ``settings`` are merged over what
    ``init`` wrote, by dotted key: ``{"limits.tenant_rate": "10/minute"}``.
    """

    def __init__(
        self,
        directory: Path,
        upstream: int,
        settings: Mapping[str, Any] | None = None,
        *,
        template: Relay | None = None,
        environment: Mapping[str, str] | None = None,
        prefix: Iterable[str] = (),
    ) -> None:
        self.directory = directory
        self.config = directory / "relay.toml"
        self.smtp_port = free_port()
        self.http_port = free_port()
        self.admin_port = free_port()
        self.metrics_port = free_port()
        self.environment = {**os.environ, **(environment or {})}
        # a test starts many processes: without byte code each compiles hundreds of modules anew
        for name in ("CONSENT_RELAY_CONFIG", "PYTHONDONTWRITEBYTECODE"):
            self.environment.pop(name, None)
        self.prefix = tuple(prefix)
        self.process: subprocess.Popen[bytes] | None = None
        self.stderr: list[str] = []
        self.secrets: dict[str, tuple[str, str]] = {}
        self._change = threading.Condition()
        self._reader: threading.Thread | None = None
        if template is None:
            self._init(upstream)
        else:
            self._copy(template, upstream)
        if settings:
            self.configure(settings)

    def _init(self, upstream: int) -> None:
        self.run(
            *("init", str(self.directory), "--hostname", "relay.test"),
            *("--upstream", f"127.0.0.1:{upstream}", "--smtp", f"127.0.0.1:{self.smtp_port}"),
            *("--http", f"127.0.0.1:{self.http_port}", "--admin", f"127.0.0.1:{self.admin_port}"),
            *("--metrics", f"127.0.0.1:{self.metrics_port}", "--public-url", self.public_url),
            configured=False,
        )

    def _copy(self, template: Relay, upstream: int) -> None:
        """Take over everything that ``template`` (stopped) has, on ports of our own."""
        shutil.copytree(
            template.directory,
            self.directory,
            dirs_exist_ok=True,
            ignore=lambda folder, names: [name for name in names if name.endswith(".sock")],
        )
        self.secrets = dict(template.secrets)
        self.configure(
            {
                "upstream.address": f"127.0.0.1:{upstream}",
                "smtp.listeners": [{"address": f"127.0.0.1:{self.smtp_port}"}],
                "http.public": f"127.0.0.1:{self.http_port}",
                "http.public_url": self.public_url,
                "http.admin": f"127.0.0.1:{self.admin_port}",
                "http.metrics": f"127.0.0.1:{self.metrics_port}",
            }
        )

    # --- configuration ------------------------------------------------------------------------

    @property
    def public_url(self) -> str:
        """Where the public pages are."""
        return f"http://127.0.0.1:{self.http_port}"

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Merge settings (by dotted key) into the configuration file."""
        document = tomllib.loads(self.config.read_text("utf-8"))
        for dotted, value in settings.items():
            *tables, key = dotted.split(".")
            table = document
            for name in tables:
                table = table.setdefault(name, {})
            table[key] = value
        self.config.write_text(toml(document), "utf-8")

    # --- the command line ---------------------------------------------------------------------

    def run(
        self, *arguments: str, code: int | None = 0, configured: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; AssertionError with its output unless it exits with ``code``."""
        config = ("--config", str(self.config)) if configured else ()
        done = subprocess.run(
            [*COMMAND, *config, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"consent-relay {' '.join(arguments)}: exit {done.returncode}, not {code}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and return its document."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def batch(self, *commands: Iterable[str]) -> list[str]:
        """Run commands one after the other in one process, which saves loading the program for
        each; what each printed. AssertionError at the first that does not exit with 0."""
        done = subprocess.run(
            [sys.executable, "-c", BATCH],
            input=json.dumps([["--config", str(self.config), *one] for one in commands]),
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{done.stdout}{done.stderr}")
        printed: list[str] = json.loads(done.stdout)
        return printed

    def add_tenant(self, slug: str, domain: str, *options: str) -> None:
        """A tenant with one sender domain, and a credential of the same name."""
        self.run(
            *("tenant", "add", slug, "--name", f"{slug.title()} BV", "--address"),
            *("Kade 1, Amsterdam", "--contact", f"owner@{domain}", *options),
        )
        self.run("domain", "add", slug, domain)
        self.add_credential(slug, slug)

    def add_list(self, tenant: str, slug: str, kind: str = "commercial", *options: str) -> None:
        """A list with purpose and promise."""
        self.run(
            *("list", "add", tenant, slug, "--kind", kind, "--purpose", f"News of {slug}"),
            *("--promise", "1/week", *options),
        )

    def add_credential(self, tenant: str, name: str, *options: str) -> tuple[str, str]:
        """A credential; its user name and secret, also kept in ``.secrets[name]``."""
        made = self.json("credential", "add", tenant, name, *options)
        self.secrets[name] = (made["username"], made["secret"] or "")
        return self.secrets[name]

    def add_source(self, slug: str = "shop") -> None:
        """An approved source."""
        self.run("source", "add", slug, "--approved")

    def add_consents(
        self, tenant: str, slug: str, addresses: Iterable[str], source: str = "shop"
    ) -> None:
        """Consents of basis ``approved`` for one list, through ``consent import``."""
        file = self.directory / f"import-{time.monotonic_ns()}.csv"
        rows = "".join(f"{address},approved,2026-01-02T03:04:05Z\n" for address in addresses)
        file.write_text("address,basis,collected_at\n" + rows, "utf-8")
        self.run("consent", "import", tenant, slug, str(file), "--source", source)
        file.unlink()

    def dkim_records(self, tenant: str) -> dict[str, str]:
        """``{name: TXT value}`` of the tenant's domains."""
        return {
            record["name"].rstrip("."): record["value"]
            for domain in self.json("domain", "list", tenant)
            for record in domain["records"]
            if record["type"] == "TXT"
        }

    # --- the process ----------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> Relay:
        """Start ``serve``; returns when every listener said that it is ready."""
        assert self.process is None, "already running"
        self.stderr = []
        self.process = subprocess.Popen(
            [*self.prefix, *COMMAND, "--config", str(self.config), "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment,
        )
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Return when the ``ready`` lines name the SMTP, public and metrics ports."""
        wanted = [self.smtp_port, self.http_port, self.metrics_port]

        def all_ready() -> bool:
            ready = [line for line in self.stderr if re.search(r"\bready\b", line)]
            return all(any(f":{port}" in line for line in ready) for port in wanted)

        self._wait(all_ready, f"ready lines for ports {wanted}", READY_WITHIN)

    def wait_line(self, pattern: str, within: float = 20.0) -> str:
        """The first line on stderr that matches; waits for it."""
        self._wait(lambda: self.lines(pattern), f"a line like {pattern!r}", within)
        return self.lines(pattern)[0]

    def lines(self, pattern: str) -> list[str]:
        """The lines on stderr so far that match."""
        return [line for line in self.stderr if re.search(pattern, line)]

    def _wait(self, condition: Callable[[], Any], what: str, within: float) -> None:
        process = self.process
        with self._change:
            found = self._change.wait_for(lambda: condition() or self._ended(process), within)
        if not found or not condition():
            log = "\n".join(self.stderr[-60:])
            raise AssertionError(f"no {what} within {within} s\n{log}")

    @staticmethod
    def _ended(process: subprocess.Popen[bytes] | None) -> bool:
        return process is None or process.poll() is not None

    def _read_stderr(self) -> None:
        process = self.process
        assert process is not None
        assert process.stderr is not None
        with process.stderr as pipe:
            for line in pipe:
                with self._change:
                    self.stderr.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self._change.notify_all()
        process.wait()
        with self._change:
            self._change.notify_all()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the relay."""
        assert self.process is not None
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """SIGHUP."""
        self.signal(signal.SIGHUP)

    def wait(self, within: float = EXIT_WITHIN) -> int:
        """Wait until it ends; its exit status."""
        assert self.process is not None
        status = self.process.wait(within)
        if self._reader is not None:
            self._reader.join(10)
        self.process = None
        return status

    def stop(self) -> int:
        """SIGTERM and wait; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL and wait."""
        self.signal(signal.SIGKILL)
        self.wait()

    @property
    def rss(self) -> int:
        """Resident memory of the process now, in octets."""
        return self._status("VmRSS")

    @property
    def peak_rss(self) -> int:
        """The highest resident memory so far, in octets."""
        return self._status("VmHWM")

    def reset_peak(self) -> None:
        """Let ``peak_rss`` begin anew from what is resident now."""
        assert self.process is not None
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.M)
        assert found is not None
        return int(found[1]) * 1024

    def __enter__(self) -> Relay:
        return self.start() if self.process is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.kill()
        if error is not None:
            print("\n".join(["--- the relay's stderr:", *self.stderr[-200:]]))

    # --- HTTP and metrics -----------------------------------------------------------------------

    def http(
        self, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """GET (POST with a body) on the public listener: status and text, without redirects."""
        return http(self.public_url + path, body=body, headers=headers)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the series of that name whose labels include these; 0 when there is none."""
        status, text = http(f"http://127.0.0.1:{self.metrics_port}/metrics")
        assert status == 200, text
        total = 0.0
        for line in text.splitlines():
            found = re.fullmatch(r"([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)", line)
            if found is None or found[1] != name:
                continue
            has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if labels.items() <= has.items():
                total += float(found[3])
        return total


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object, **keywords: object) -> None:
        return None


def http(
    url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """One request, no redirect followed, no proxy: status and text."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(request, timeout=30) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")


def toml(document: Mapping[str, Any]) -> str:
    """Write nested tables of strings, numbers, booleans and arrays as TOML."""
    lines: list[str] = []
    _table(document, (), lines)
    return "\n".join(lines) + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    if path:
        lines.append(f"[{'.'.join(path)}]")
    for key, value in table.items():
        if not isinstance(value, Mapping):
            lines.append(f"{key} = {_value(value)}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            _table(value, (*path, key), lines)


def _value(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            # JSON's strings, numbers and booleans are TOML's
            return json.dumps(value)
