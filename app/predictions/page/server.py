"""Serves the page to this machine's browser, and carries its bytes.

Decides: what an address means, and who may use it: it listens on loopback alone, under a path nobody can guess, and
answers no page of another origin (the Host and Origin headers must be its own). Refuses to know: masks and answers.
"""

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from app.predictions.page.about import about
from app.predictions.page.carrier import ONLINE, Carried, Carrier
from arithmetic.errors import ChorusError, ConfigError
from predictions.client import Kit
from predictions.frames import QUERY_BYTES
from predictions.program import Answer

LOOPBACK: Final = "127.0.0.1"
_FILES: Final = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_RULES: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_MOST_BODY: Final = 16 << 20
_MOST_ROWS: Final = 4096


class PageServer(ThreadingHTTPServer):
    """The page of one client's kit.

    Args:
        kit: the client's.
        task: whose pictures it knows.
        port: on loopback; 0 for a free one.

    Raises:
        ConfigError: a model that takes no picture.
        SetupError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, kit: Kit, task: str, port: int = 0) -> None:
        self.about = json.dumps(about(kit, task)).encode()
        self.carrier = Carrier(kit)
        self.path = secrets.token_urlsafe(16)
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    @property
    def address(self) -> str:
        """What to open; who has it may ask in the client's name."""
        return f"{self.origin}/{self.path}/"

    def server_close(self) -> None:
        """End the links too."""
        self.carrier.close()
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """A file of the page, or what it must know."""
        place = self._place()
        if place == "kit.json":
            self._say(HTTPStatus.OK, self.server.about, "application/json")
        elif place in _FILES:
            name, kind = _FILES[place]
            self._say(HTTPStatus.OK, files(__package__).joinpath(name).read_bytes(), kind)
        else:
            self._say(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """`PARTY/ask` with query, answer and rows, or `PARTY/input` with query and the masked input as the body."""
        place = self._place()
        party, _, verb = (place or "").partition("/")
        if party not in ONLINE or self.headers.get("Origin") != self.server.origin:
            self._say(HTTPStatus.NOT_FOUND)
            return
        try:
            self._carry(party, verb)
        except ChorusError as error:
            told = {"code": error.code, "message": str(error)}
            self._say(HTTPStatus.BAD_GATEWAY, json.dumps(told).encode(), "application/json")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Nothing: the path is a secret."""

    def _carry(self, party: str, verb: str) -> None:
        body = self._body()
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        try:
            query = bytes.fromhex(asked["query"])
            rows, answer = int(asked.get("rows", "1")), Answer(asked.get("answer", "logits"))
        except (KeyError, ValueError):
            raise ConfigError("the page asked for what there is not; reload it") from None
        if len(query) != QUERY_BYTES or not 1 <= rows <= _MOST_ROWS or verb not in ("ask", "input"):
            raise ConfigError("the page asked for what there is not; reload it")
        carrier = self.server.carrier
        carried = (
            carrier.ask(party, query, answer, rows) if verb == "ask" else carrier.give(party, query, body)
        )
        self._tell(carried)

    def _tell(self, carried: Carried) -> None:
        counted = {"X-Sent": str(carried.sent), "X-Received": str(carried.received)}
        self._say(HTTPStatus.OK, carried.content, "application/octet-stream", counted)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY:
            self.close_connection = True
            raise ConfigError(f"a batch of the page has at most {_MOST_BODY >> 20} MiB; ask about fewer")
        return self.rfile.read(int(length))

    def _place(self) -> str | None:
        """The part of the path behind the secret; None for whoever does not know it or comes from elsewhere."""
        path = urlsplit(self.path).path
        start = f"/{self.server.path}/"
        own = f"{LOOPBACK}:{self.server.server_address[1]}"
        known = secrets.compare_digest(path[: len(start)].encode(), start.encode())
        return path[len(start) :] if known and self.headers.get("Host") == own else None

    def _say(
        self,
        status: HTTPStatus,
        content: bytes = b"",
        kind: str = "text/plain",
        more: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {**_RULES, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
