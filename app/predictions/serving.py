"""One server out of its kit, until it ends.

Decides: where a server listens and keeps its files, and that SIGTERM and Ctrl-C end it cleanly. Refuses to know: what
it does.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.predictions.kits import STATE, FolderKeeper, PartyKit
from arithmetic.errors import ConfigError
from predictions.allocator import keep_freed_memory
from predictions.credentials import FIRST, HELPER, SECOND
from predictions.first_server import FirstServer, Work
from predictions.helper_server import HelperServer
from predictions.link import Address
from predictions.second_server import SecondServer
from predictions.server import Place, Server


@dataclass(frozen=True)
class ServerStart:
    """What was asked for.

    Args:
        folder: of the server's kit.
        host: address to listen on; "" for that of the kit.
        work: how it works.
        patience: seconds that a query waits for another party.
    """

    folder: Path
    host: str
    work: Work
    patience: float


def serve(start: ServerStart, say: Callable[[str], None]) -> None:
    """Run a server until it was told to end.

    Args:
        start: which.
        say: takes lines for the log.

    Raises:
        ConfigError: the kit is that of no server.
        SetupError: address or certificates cannot be used.
    """
    server = _server(start, say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.ending.set())
    keep_freed_memory()
    server.open()
    server.wait()


def _server(start: ServerStart, say: Callable[[str], None]) -> Server:
    kit = PartyKit.open(start.folder)
    if kit.party not in kit.servers:
        raise ConfigError(f"{start.folder} is the kit of {kit.party}; serve with that of a server")
    listen = kit.servers[kit.party]
    if start.host:
        listen = Address(start.host, listen.port)
    keeper = FolderKeeper(kit.folder / STATE)
    place = Place(kit.party, listen, kit.servers, kit.credentials, keeper, say, start.patience)
    work, follows = start.work, bool(start.work.requests)
    if kit.party == HELPER:
        return HelperServer(place, follows=follows)
    if kit.party == FIRST:
        return FirstServer(place, work)
    if kit.party == SECOND:
        return SecondServer(place, work.most_bytes, follows=follows)
    raise ConfigError(f"{kit.party} is no server; take the kit anew")
