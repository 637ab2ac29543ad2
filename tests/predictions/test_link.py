"""Links: who may speak, both directions at once, and what becomes of one that breaks."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from predictions.credentials import FIRST, OWNER, SECOND, party_of
from predictions.errors import FrameRejected, LinkFailed, QueryRefused
from predictions.frames import Kind
from predictions.link import Address, Link
from tests.support.three_servers import CLIENTS, credentials

QUERY = b"q" * 16


@contextmanager
def linked(patience: float = 5.0) -> Iterator[tuple[Link, Link]]:
    """Both ends of a link between the online servers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[Link] = []
        thread = threading.Thread(
            target=lambda: taken.append(Link.accept(listening.accept()[0], credentials()[SECOND], patience))
        )
        thread.start()
        here = Link.connect(
            Address("127.0.0.1", listening.getsockname()[1]), credentials()[FIRST], SECOND, patience
        )
        thread.join(10)
    with here, taken[0]:
        yield here, taken[0]


def exchanged(links: tuple[Link, Link], messages: tuple[bytes, bytes]) -> list[object]:
    """What each end got, or why not."""
    found: list[object] = [None, None]

    def one(end: int) -> None:
        try:
            found[end] = bytes(links[end].exchange(messages[end], QUERY, 0))
        except (LinkFailed, FrameRejected) as error:
            found[end] = error

    threads = [threading.Thread(target=one, args=(end,)) for end in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


@pytest.mark.parametrize("size", [0, 1, 32 << 10, (32 << 10) + 1, 5_000_000])
def test_both_ends_send_at_once_whatever_the_size(size: int) -> None:
    messages = (bytes(size), b"\xff" * size)
    with linked() as links:
        for _ in range(2):
            assert exchanged(links, messages) == [messages[1], messages[0]]
        assert links[0].sent == links[1].received > 2 * size


@pytest.mark.parametrize("size", [100, 100_000])
def test_messages_of_different_length_are_refused_at_both_ends(size: int) -> None:
    with linked() as links:
        found = exchanged(links, (bytes(size), bytes(size + 1)))
    assert any(isinstance(one, FrameRejected) for one in found)
    assert not any(isinstance(one, bytes) for one in found)


def test_a_peer_that_says_nothing_is_not_waited_for_longer_than_the_patience() -> None:
    with linked(patience=0.2) as (here, _):
        with pytest.raises(LinkFailed, match="no answer in time"):
            here.exchange(b"x", QUERY, 0)
        assert here.fileno() < 0


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_peer_that_hangs_up_is_a_failure_by_type(size: int) -> None:
    with linked() as (here, there):
        there.close()
        with pytest.raises(LinkFailed, match="ask again"):
            here.exchange(bytes(size), QUERY, 0)


def test_a_frame_that_is_refused_ends_the_link() -> None:
    with linked() as (here, there):
        there.send(Kind.EXCHANGE, b"12345", QUERY)
        with pytest.raises(FrameRejected):
            here.receive({Kind.EXCHANGE: (4, 4)})
        with pytest.raises(LinkFailed):
            here.receive({Kind.EXCHANGE: (4, 4)})


def test_a_failure_arrives_with_its_type_and_reason_in_place_of_any_frame() -> None:
    for size in (8, 1_000_000):
        with linked() as (here, there):
            there.fail(QueryRefused("the quota is used up; ask the owner"), QUERY)
            with pytest.raises(QueryRefused, match="quota is used up"):
                here.exchange(bytes(size), QUERY, 3)


def test_a_failure_with_anything_else_in_it_is_still_a_failure() -> None:
    for said in (b"{}", b"[]", b"\xff\xff", b'{"kind": "SystemExit", "why": "x"}'):
        with linked() as (here, there):
            there.send(Kind.FAILED, said)
            with pytest.raises(LinkFailed, match="did not say why"):
                here.receive({})


def test_a_link_between_queries_is_good_only_while_nothing_came() -> None:
    with linked() as (here, there):
        assert here.idle_and_open
        there.send(Kind.STATUS)
        there.close()
        threading.Event().wait(0.05)
        assert not here.idle_and_open


@contextmanager
def refusing() -> Iterator[Address]:
    """Where the second server listens, for somebody whom it must not take."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        failed: list[LinkFailed] = []

        def take() -> None:
            try:
                Link.accept(listening.accept()[0], credentials()[SECOND], 3)
            except LinkFailed as error:
                failed.append(error)

        thread = threading.Thread(target=take)
        thread.start()
        yield Address("127.0.0.1", listening.getsockname()[1])
        thread.join(10)
    assert failed


def knock(address: Address, context: ssl.SSLContext) -> None:
    """Try to speak; with TLS 1.3 a client learns only by reading that it was refused."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address.host, address.port)) as raw,
        context.wrap_socket(raw) as wrapped,
    ):
        wrapped.sendall(b"hello")
        assert not wrapped.recv(1)


def test_a_stranger_without_a_certificate_is_not_taken() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with refusing() as address:
        knock(address, context)


def test_older_tls_is_not_taken() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(credentials()[OWNER].certificate, credentials()[OWNER].key)
    with refusing() as address:
        knock(address, context)


def test_a_certificate_of_another_authority_is_not_taken() -> None:
    credentials.cache_clear()
    other = credentials()[FIRST]
    credentials.cache_clear()
    with refusing() as address, pytest.raises(LinkFailed):
        Link.connect(address, other, SECOND, 3)


@pytest.mark.parametrize(
    "names",
    [
        (),
        (("DNS", "localhost"),),
        (("URI", "https://example.org"),),
        (("URI", "chorus-predictions:"),),
        (("URI", "chorus-predictions:owner"), ("URI", "chorus-predictions:helper")),
    ],
)
def test_a_certificate_that_names_no_one_party_is_refused(names: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(LinkFailed, match="names no party"):
        party_of({"subjectAltName": names})


def test_a_link_knows_its_peer_by_certificate() -> None:
    with linked() as (here, there):
        assert (here.peer, there.peer) == (SECOND, FIRST)
    assert CLIENTS[0] == "client/alice"
