"""What an owner does: from a model to three servers that have it, and clients that can ask.

Decides: that servers of loopback kits that do not run are run for as long as sharing takes. Refuses to know: options
and what is printed; the protocol (`predictions.owner`).
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from app.predictions.kits import (
    CLIENTS_FOLDER,
    OWNER_FOLDER,
    PartyKit,
    Plan,
    client_kits,
    make_kits,
    server_folders,
)
from app.predictions.processes import ServerProcess, free_addresses, listens, running
from arithmetic.errors import ConfigError
from predictions.client import Kit
from predictions.conversion import convert
from predictions.limits import Limits
from predictions.owner import Owner, Prepared, prepare_sharing

LOOPBACK_DAYS = 30
CLIENT = "alice"
_SAMPLES = 256


@dataclass(frozen=True, eq=False)
class ToShare:
    """A model and what is known of its inputs.

    Args:
        network: any that `predictions.conversion` knows.
        low: smallest number of an input; `high`: the largest.
        samples: examples (rows, *shape) that show shape and range.
        task: whose test set clients may ask about by number, or "".
    """

    network: nn.Module
    low: float
    high: float
    samples: NDArray[np.float32]
    task: str = ""


@dataclass(frozen=True)
class Shared:
    """What came of it.

    Args:
        prepared: the sharing.
        sent: bytes to each server, by party.
        clients: names of the kits that can ask now.
    """

    prepared: Prepared
    sent: dict[str, int]
    clients: tuple[str, ...]


def loopback_kits(root: Path, clients: Sequence[str]) -> None:
    """Kits for servers on this machine's loopback, with an authority that nobody else has.

    Raises:
        ConfigError: the folder is there, or a name cannot be used.
    """
    make_kits(Plan(root, free_addresses(), tuple(clients), LOOPBACK_DAYS), datetime.now(UTC))


@contextlib.contextmanager
def on_loopback(
    model: ToShare,
    limits: Limits,
    options: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator["Loopback"]:
    """Three servers that have a model, as processes of this machine, and all kits; gone with the block.

    Args:
        model: what is shared.
        limits: what the client may ask.
        options: of `predict serve`.
        say: takes lines of the servers.

    Raises:
        ChorusError: as `prepare` and `share`.
    """
    prepared = prepare(model, limits)
    with tempfile.TemporaryDirectory(prefix="chorus-predictions-") as folder:
        root = Path(folder) / "kits"
        loopback_kits(root, [CLIENT])
        with running(server_folders(root), options, say) as servers:
            shared = share(prepared, root, model.task, say)
            client = PartyKit.open(root / CLIENTS_FOLDER / CLIENT).for_client()
            yield Loopback(shared, client, PartyKit.open(root / OWNER_FOLDER), servers)


@dataclass(frozen=True)
class Loopback:
    """What runs: for `predictions.client.Client(kit)` and `predictions.owner.Owner`.

    Args:
        shared: the sharing, and what it cost.
        kit: the client's.
        owner: the owner's kit.
        servers: the processes.
    """

    shared: Shared
    kit: Kit
    owner: PartyKit
    servers: list[ServerProcess]


def prepare(model: ToShare, limits: Limits) -> Prepared:
    """Convert, cut and rehearse a model; nothing leaves.

    Raises:
        UnsupportedModel: a layer that cannot be converted.
        PredictionRange: fixed point is not good enough for it.
    """
    samples = model.samples[:_SAMPLES]
    program, weights = convert(model.network, samples.shape[1:], model.low, model.high, samples)
    return prepare_sharing(program, tuple(weights), limits, samples)


def share(prepared: Prepared, root: Path, task: str, say: Callable[[str], None]) -> Shared:
    """Hand the parts to the servers of the kits, and the sharing and canaries to clients' kits.

    Args:
        prepared: what to share.
        root: folder of the kits.
        task: whose test set clients may ask about by number, or "".
        say: takes the lines of servers that are run meanwhile.

    Raises:
        ConfigError: no kits.
        LinkFailed: a server cannot be reached.
    """
    if not (root / OWNER_FOLDER).is_dir():
        raise ConfigError(
            f"{root} holds no kits; leave it out of the way to make new ones, or make kits first"
        )
    kit = PartyKit.open(root / OWNER_FOLDER)
    with contextlib.ExitStack() as stack:
        if all(one.host == "127.0.0.1" and not listens(one) for one in kit.servers.values()):
            stack.enter_context(running(server_folders(root), (), say))
        sent = Owner(kit.servers, kit.credentials).share(prepared)
    clients = client_kits(root)
    for client in clients:
        client.give(prepared.sharing, prepared.canaries, task)
    return Shared(prepared, sent, tuple(client.folder.name for client in clients))
