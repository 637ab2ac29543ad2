"""Users' mistakes: exit code 2 and one line that says what to do; nothing is started."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from app.cli import main
from app.predictions.asking import from_file, from_task, ranking
from app.predictions.kits import FolderKeeper, PartyKit, Plan, client_kits, make_kits, server_folders
from app.predictions.processes import free_addresses
from arithmetic.errors import ConfigError, SetupError


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from datetime import UTC, datetime

    out = tmp_path_factory.mktemp("kits") / "kits"
    make_kits(Plan(out, free_addresses(), ("alice", "bob"), 2), datetime.now(UTC))
    return out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["share", "no-such-run"], "CONFIG: {here}/no-such-run holds no run"),
        (["query", "no-such-kit", "--index", "0"], "no kit of private predictions"),
        (["query", "no-such-kit"], "say what to ask about"),
        (["evaluate", "no-such-kit"], "no kit of private predictions"),
        (["serve", "no-such-kit"], "no kit of private predictions"),
        (["shutdown", "no-such-kit"], "no kit of private predictions"),
        (["serve", "{kits}/clients/alice"], "is the kit of client/alice; serve with that of a server"),
        (["query", "{kits}/clients/alice", "--index", "0"], "has no sharing yet"),
        (["query", "{kits}/owner", "--index", "0"], "is the kit of owner; ask with that of a client"),
        (["share", "no-such-run", "--answers", "all"], "name some of logits, label and count"),
        (["share", "no-such-run", "--rows", "0"], "a batch of 0 cannot be allowed"),
        (["query", "--top", "0"], "--top"),
        (["kits", "--helper", "a", "--online-1", "b:1", "--online-2", "c:1", "--client", "x"], "no address"),
    ],
)
def test_a_mistake_is_one_line(
    kits: Path,
    arguments: list[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [one.format(kits=kits) for one in arguments]
    monkeypatch.setattr("sys.argv", ["chorus", "predict", *filled])
    assert main() == 2
    told = capsys.readouterr()
    assert line.format(here=Path.cwd()) in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_a_kit_whose_key_others_can_read_is_not_used(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    make_kits(Plan(tmp_path / "kits", free_addresses(), ("alice",), 2), datetime.now(UTC))
    (tmp_path / "kits" / "owner" / "party.key").chmod(0o644)
    with pytest.raises(SetupError, match="can be read by others"):
        PartyKit.open(tmp_path / "kits" / "owner")


def test_every_private_key_lies_in_one_kit(kits: Path) -> None:
    keys = [path.read_bytes() for path in kits.rglob("*.key")]
    assert len(keys) == len(set(keys)) == 6
    assert not list(kits.rglob("ca.key"))


def test_kits_are_found_by_folder(kits: Path) -> None:
    assert [path.name for path in server_folders(kits)] == ["helper", "online-1", "online-2"]
    assert server_folders(kits / "servers" / "helper") == [kits / "servers" / "helper"]
    assert [kit.party for kit in client_kits(kits)] == ["client/alice", "client/bob"]


def test_settings_that_are_none_are_refused(kits: Path, tmp_path: Path) -> None:
    for text in ("", "party = 'owner'", "party = 'owner'\n[servers]\nhelper = 'a:1'", "= ="):
        (tmp_path / "kit.toml").write_text(text)
        with pytest.raises(ConfigError, match="take the kit anew"):
            PartyKit.open(tmp_path)


def test_a_keeper_keeps_for_its_user_alone(tmp_path: Path) -> None:
    keeper = FolderKeeper(tmp_path)
    assert keeper.read("part") is None
    keeper.write("part", b"one")
    keeper.write("part", b"other")
    assert keeper.read("part") == b"other"
    assert (tmp_path / "part").stat().st_mode & 0o777 == 0o600


def test_an_example_beyond_the_test_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="it has 0 to 358"):
        from_task("digits", "", [0, 359])


@pytest.mark.parametrize("tensors", [{}, {"inputs": np.zeros((2, 3)), "labels": np.zeros(3, np.int64)}])
def test_a_file_without_inputs_or_with_other_labels_is_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors))
    with pytest.raises(ConfigError, match=r"tensor 'inputs'|one a row"):
        from_file(path)


def test_a_ranking_is_the_best_first() -> None:
    best = ranking(np.array([0.0, 2.0, 1.0]), 2)
    assert [label for label, _ in best] == [1, 2]
    assert best[0][1] == pytest.approx(np.exp(2) / (1 + np.exp(1) + np.exp(2)))
