"""As `test_wire_grep`, for a run against an active server: identities, signed keys, the consistency check r3.

The whole job of the ServerApp: every byte string that reached the server, the events, the metrics, the checkpoints, the
model, the server's transcript, and the nodes' transcripts too, which an auditor is shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from app import server_app
from app.client_app import app as client_app
from app.config import RunConfig
from app.run_directory import RunDirectory
from app.simulated_roster import lay_identities
from clients.identity import load_key
from strategies.chronicle import Chronicle
from tests.leakage.test_wire_grep import LEAKS, NAMES, R3, Secrets, grep, instrument
from tests.support.active_run import active_trial
from tests.support.local_grid import LocalGrid
from tests.support.run import SMALL_RUN, at
from wire.transcript import Transcript

CLIENTS = 4
OVERRIDES = {"clients": CLIENTS, "rounds": 2, "modulus-bits": 24, "adversary": "active"}
# What a client keeps for itself: its log, and the identities, which in a deployment never were on the server's machine.
OWN = {"clients", "identities"}


@dataclass
class Recorded:
    secrets: Secrets
    grid: LocalGrid
    directory: RunDirectory

    def files(self) -> list[Path]:
        folder = self.directory.path
        found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [path for path in found if path.relative_to(folder).parts[0] not in OWN]

    @property
    def haystack(self) -> list[bytes]:
        return [*self.grid.wire, *(path.read_bytes() for path in self.files())]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Recorded]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        secrets = instrument(patch)
        named = {"run-dir": str(folder)} | lay_identities(folder, CLIENTS)
        config = RunConfig.parse(SMALL_RUN | OVERRIDES | named)
        directory = RunDirectory(folder)
        directory.record(config)
        grid = LocalGrid(client_app, CLIENTS, config.table())
        for number in range(CLIENTS):
            secrets.block(
                "identity keys", load_key(folder / "identities" / f"{number}.pem")._key.private_bytes_raw()
            )
        with Transcript.open(directory.transcript(1), None) as told:
            server_app._run(grid, config, directory, Chronicle("1", told.append))
        secrets.public += models(grid, directory)
        yield Recorded(secrets, grid, directory)


def models(grid: LocalGrid, directory: RunDirectory) -> list[bytes]:
    """Every global model: clients were sent them, and the sum is the server's to know."""
    sent = [record for message in grid.sent for record in message.content.array_records.values()]
    last = load_file(directory.path / "model.safetensors")
    return [
        *(array.data for record in sent for array in record.values()),
        *(array.tobytes() for array in last.values()),
    ]


def test_every_kind_of_secret_and_of_file_is_there(recorded: Recorded) -> None:
    assert set(recorded.secrets.blocks) == NAMES | {"identity keys"}
    for name in recorded.secrets.blocks:
        assert recorded.secrets.needles(name).size >= 4, name
    names = {path.relative_to(recorded.directory.path).parts[0] for path in recorded.files()}
    assert names >= {"events.jsonl", "checkpoints", "model.safetensors", "transcripts"}
    kinds = {message.metadata.message_type for message in recorded.grid.received}
    assert R3.message_type in kinds


def test_the_server_and_its_files_hold_nothing_that_must_stay_with_a_client(recorded: Recorded) -> None:
    assert grep(recorded.secrets, recorded.haystack) == {}


def test_identities_are_found_where_they_are(recorded: Recorded) -> None:
    pem = (recorded.directory.path / "identities" / "0.pem").read_bytes()
    assert set(grep(recorded.secrets, [pem])) == {"identity keys"}


@pytest.mark.parametrize("name", ["private keys", "self-mask seeds", "residues", "shares of mask keys"])
def test_a_client_that_leaks_in_r3_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = instrument(monkeypatch)
    trial = active_trial(tmp_path, {"clients": CLIENTS, "rounds": 2, "modulus-bits": 24}, CLIENTS)
    leak = next(leak for known, _, leak in LEAKS if known == name)

    def leaking(message: Message) -> Message:
        return leak(secrets, message)

    trial.grid.after = at(R3, leaking, trial.grid.ids[1])
    trial.session()
    assert name in grep(secrets, trial.grid.wire)
