"""What is wrong between a node and the server is one typed line (bad input 86)."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest

from app.deployment import probe
from app.deployment.certificates import Pair, make_ca, make_server_certificate
from arithmetic.errors import SetupError


class Health(http.server.BaseHTTPRequestHandler):
    """A server that answers as a SuperLink does, with a clock of its own."""

    protocol_version = "HTTP/1.1"
    ahead = 0.0
    status = 200

    def do_GET(self) -> None:
        body = b'{"info": {"version": "1.41.0"}}' if self.path == "/openapi.json" else b"{}"
        self.send_response_only(self.status)
        self.send_header("Date", formatdate(datetime.now(UTC).timestamp() + self.ahead, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving(folder: Path, server: Pair, handler: type[Health] = Health) -> Iterator[int]:
    (folder / "server.crt").write_bytes(server.public)
    (folder / "server.key").write_bytes(server.private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    link = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    link.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that breaks off is what is tested
    link.socket = context.wrap_socket(link.socket, server_side=True)
    thread = threading.Thread(target=link.serve_forever)
    thread.start()
    try:
        yield link.server_address[1]
    finally:
        link.shutdown()
        thread.join()
        link.server_close()


@pytest.fixture
def ca(tmp_path: Path) -> tuple[Pair, Path]:
    made = make_ca("f", datetime.now(UTC))
    (tmp_path / "ca.crt").write_bytes(made.public)
    return made, tmp_path / "ca.crt"


def test_a_superlink_says_its_version_and_its_time(ca: tuple[Pair, Path], tmp_path: Path) -> None:
    server = make_server_certificate(ca[0], ["fl.example.org"], datetime.now(UTC), 1)
    with serving(tmp_path, server, type("Ahead", (Health,), {"ahead": 1000.0})) as port:
        for host in ("127.0.0.1", "localhost"):
            found = probe.look(host, port, ca[1])
            assert found.version == "1.41.0"
            assert found.ahead is not None
            assert 990 < found.ahead < 1010


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("ca", "was not issued by the CA in"),
        ("expired", r"has expired.*--renew"),
        ("early", "is not valid yet; set this machine's clock"),
    ],
)
def test_a_certificate_that_does_not_serve_is_named(
    ca: tuple[Pair, Path], tmp_path: Path, spoil: str, complaint: str
) -> None:
    now = datetime.now(UTC)
    issuer = make_ca("f", now) if spoil == "ca" else ca[0]
    begin = now + {"expired": timedelta(days=-9), "early": timedelta(days=9)}.get(spoil, timedelta())
    server = make_server_certificate(issuer, ["fl.example.org"], begin, 1)
    with serving(tmp_path, server) as port, pytest.raises(SetupError, match=complaint) as caught:
        probe.look("127.0.0.1", port, ca[1])
    assert not isinstance(caught.value, probe.NobodyAnswers)


def test_a_certificate_for_another_name_is_named(
    ca: tuple[Pair, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, link = (
        make_server_certificate(ca[0], ["fl.example.org"], datetime.now(UTC), 1),
        socket.create_connection,
    )
    with serving(tmp_path, server) as port:
        here = ("127.0.0.1", port)
        monkeypatch.setattr(socket, "create_connection", lambda _, *rest, **more: link(here, *rest, **more))
        probe.look("fl.example.org", port, ca[1])
        with pytest.raises(SetupError, match=r"is not for the name other\.example\.org"):
            probe.look("other.example.org", port, ca[1])


def test_nobody_and_somebody_else(ca: tuple[Pair, Path], tmp_path: Path) -> None:
    server = make_server_certificate(ca[0], ["a"], datetime.now(UTC), 1)
    other = type("Other", (Health,), {"status": 404})
    with serving(tmp_path, server, other) as port, pytest.raises(SetupError, match="is no SuperLink"):
        probe.look("127.0.0.1", port, ca[1])
    with pytest.raises(probe.NobodyAnswers, match=r"nobody answers at 127\.0\.0\.1"):
        probe.look("127.0.0.1", port, ca[1])
    plain = http.server.HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=plain.serve_forever)
    thread.start()
    try:
        with pytest.raises(SetupError, match="speaks no TLS"):
            probe.look("127.0.0.1", plain.server_address[1], ca[1])
    finally:
        plain.shutdown()
        thread.join()
        plain.server_close()


def test_a_name_without_an_address_is_named() -> None:
    with pytest.raises(SetupError, match=r"no-such-host\.invalid has no address"):
        probe.resolve("no-such-host.invalid")
    assert "127.0.0.1" in probe.resolve("localhost")


def test_a_busy_port_is_named_and_a_free_one_is_not() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SetupError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*choose another port"):
            probe.check_free("127.0.0.1", port)
    probe.check_free("127.0.0.1", port)
