"""A web server of somebody else: records what it is told and answers as a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import trustme


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Receiver:
    """``with Receiver(authority) as receiver``; plain HTTP without an authority.

    ``status`` answers everything; ``answer`` may take over and write to the connection itself.
    """

    authority: trustme.CA | None = None
    names: tuple[str, ...] = ("127.0.0.1",)
    host: str = "127.0.0.1"
    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    answer: Callable[[Any], None] | None = None
    calls: list[Call] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    """For an ``answer`` that waits: set when the server closes."""

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.calls.append(Call(self.path, headers, body))
                self.close_connection = True
                if receiver.answer is not None:
                    receiver.answer(self)
                    return
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the base class names it

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                """Nobody reads it."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away is what is tested."""

        self._server = Server((self.host, self.port), Handler)
        if self.authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.authority.issue_cert(*self.names).configure_cert(context)
            # The handshake belongs to the thread of the connection, not to the one that accepts.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    @property
    def url(self) -> str:
        """The root, by address."""
        scheme = "http" if self.authority is None else "https"
        return f"{scheme}://{self.host}:{self.port}/"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
