"""Runs that were killed and go on: the same model, the true numbers, and no release that no ledger knows of."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.checkpoint import Checkpoints
from app.config import RunConfig
from app.resuming import configuration_digest, continued
from app.run_directory import RunDirectory
from arithmetic.errors import ConfigError, SetupError
from privacy.ledger import charges_of
from strategies.snapshot import Snapshot
from tests.support.local_grid import LocalGrid
from tests.support.private_run import LINEAR, MODES
from tests.support.resumed import Killed, begin, events_of, go_on, killed_at, model_of, serve
from tests.support.run import Trial, copied
from wire.rounds import ProtocolRound

R0, R1, R2, R4 = (ProtocolRound(f"r{number}") for number in (0, 1, 2, 4))
STRATEGIES: dict[str, dict[str, Any]] = {
    "fedavg": {},
    "fedadam": {"server-learning-rate": 0.05},
    "fedavgm": {"server-learning-rate": 0.9, "server-momentum": 0.5},
}


def trial_of(strategy: str, rounds: int) -> Trial:
    run = {"rounds": rounds, "clients": 3, "rounding": "nearest", "strategy": strategy}
    return Trial(run | STRATEGIES[strategy])


def bits(model: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "rounds"),
    [("fedadam", 4), *(pytest.param(name, 20, marks=pytest.mark.nightly) for name in STRATEGIES)],
)
def test_stopped_after_any_server_round_and_resumed_the_final_model_is_bit_identical(
    strategy: str, rounds: int, tmp_path: Path
) -> None:
    """What lies on disk after each server round is set aside, as a kill would leave it, and resumed from."""
    trial = trial_of(strategy, rounds)
    directory = RunDirectory.at(tmp_path / "run", trial.config)
    checkpoints = Checkpoints(directory, trial.config)

    def keep(snapshot: Snapshot) -> None:
        checkpoints.keep(snapshot)
        shutil.copytree(directory.path, tmp_path / str(snapshot.server_round) / "run")

    trial.strategy.keep = keep
    whole = trial.start()
    wanted = bits(copied(whole.arrays))
    assert wanted != bits(trial.initial)
    for done in range(rounds + 1):
        again = trial_of(strategy, rounds)
        left = RunDirectory.open(tmp_path / str(done) / "run")
        snapshot = Checkpoints(left, again.config).latest()
        assert snapshot.server_round == done
        again.strategy.restore(snapshot)
        again.initial = dict(snapshot.model)
        result = again.start()
        assert bits(copied(result.arrays)) == wanted, f"resumed after round {done}"
        trained = [e for e in again.named("round_finished") if e["purpose"] == "training"]
        assert [e["server_round"] for e in trained] == list(range(done + 1, rounds + 1))
        assert again.strategy.aggregated == list(range(1, rounds + 1))
        assert sorted(result.evaluate_metrics_clientapp) == list(range(done, rounds + 1))
        assert result.evaluate_metrics_clientapp[rounds] == whole.evaluate_metrics_clientapp[rounds]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("protocol_round", [R0, R1, R2, R4])
def test_killed_within_a_server_round_it_is_held_again_and_nothing_else_differs(
    strategy: str, protocol_round: ProtocolRound, tmp_path: Path
) -> None:
    keys = {key.replace("-", "_"): value for key, value in STRATEGIES[strategy].items()}
    # Somebody lost its keys just before, so that r0 has someone to ask.
    keys |= {"rounds": 4, "strategy": strategy, "drop": "1@r4:round2", "clients": 4, "threshold": 3}
    undisturbed, victim = (begin(tmp_path / name, **keys) for name in ("undisturbed", "victim"))
    serve(undisturbed)
    with pytest.raises(Killed):
        serve(victim, killed_at(protocol_round, 3))
    assert not victim.model.exists()
    go_on(victim)
    assert model_of(victim) == model_of(undisturbed)
    (resumed,) = events_of(victim, "run_resumed")
    assert (resumed["server_round"], resumed["rounds"]) == (2, 4)
    finished = [e["server_round"] for e in events_of(victim, "round_finished")]
    assert finished == [1, 2, 3, 4, 5]  # the last is the evaluation of the final model
    (last,) = events_of(victim, "run_finished")
    assert (last["rounds_aggregated"], last["rounds"]) == (4, 4)


def test_a_run_killed_over_and_over_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    undisturbed, victim = (begin(tmp_path / name, rounds=3, strategy="fedadam") for name in "ab")
    serve(undisturbed)
    changes: dict[str, Any] = {}
    for server_round in (1, 2, 2, 3, 4):  # the fourth only judges the final model
        with pytest.raises(Killed):
            serve(victim, killed_at(R2, server_round), **changes)
        changes = {"resume": str(victim.path)}
    go_on(victim)
    assert model_of(victim) == model_of(undisturbed)
    assert [e["server_round"] for e in events_of(victim, "run_resumed")] == [0, 1, 1, 2, 3]
    assert [e["repeated"] for e in events_of(victim, "run_resumed")] == [1, 2, 3, 4, 5]


def test_a_failed_server_round_is_not_held_again(tmp_path: Path) -> None:
    victim = begin(tmp_path / "run", rounds=3, drop="3@r1:round2")
    with pytest.raises(Killed):
        serve(victim, killed_at(R1, 3))
    go_on(victim)
    assert [e["server_round"] for e in events_of(victim, "round_failed")] == [2]
    assert events_of(victim, "run_resumed")[0]["server_round"] == 2
    assert events_of(victim, "run_finished")[0]["rounds_aggregated"] == 2


@pytest.mark.parametrize("mode", ["local", "client", "distributed"])
@pytest.mark.parametrize(("protocol_round", "released"), [(R2, 3), (R4, 4)])
def test_no_ledger_holds_less_than_what_was_released(
    mode: str, protocol_round: ProtocolRound, released: int, tmp_path: Path
) -> None:
    """Killed after every client had charged, and (r4) sent its masked input: held again, it is charged again."""
    terms = {key.replace("-", "_"): value for key, value in (MODES[mode] | {"max-examples": 40}).items()}
    victim = begin(
        tmp_path / "run", rounds=3, task=LINEAR, privacy=mode, rounding="stochastic", clients=4, **terms
    )
    grids: list[LocalGrid] = []
    with pytest.raises(Killed):
        serve(victim, killed_at(protocol_round, 2), grids)
    go_on(victim, grids)
    kind = R2.message_type
    inputs = Counter(
        message.metadata.src_node_id
        for grid in grids
        for message in grid.received
        if message.metadata.message_type == kind and message.metadata.group_id != "4"
    )
    assert list(inputs.values()) == [released] * 4
    for path in (victim.path / "ledgers").glob("*.jsonl"):
        charged = Counter(mechanism.unit for mechanism in charges_of(path))
        assert set(charged.values()) == {4}, "rounds 1 and 3 once, round 2 twice"
    assert len(list((victim.path / "ledgers").glob("*.jsonl"))) == 4
    planned = events_of(victim, "privacy_planned")
    if mode != "local":
        sums = [event["sentences"][0].split(" sums of ")[0].rsplit(" ", 1)[1] for event in planned]
        assert sums == ["3", "4"]  # the lost round is planned for


def test_an_epsilon_is_no_longer_promised_when_a_server_round_is_held_again(tmp_path: Path) -> None:
    victim = begin(
        tmp_path / "run",
        rounds=3,
        task=LINEAR,
        privacy="local",
        rounding="stochastic",
        epsilon=50.0,
        delta=1e-4,
    )
    with pytest.raises(Killed):
        serve(victim, killed_at(R4, 2))
    go_on(victim)
    before, after = (event["sentences"][0] for event in events_of(victim, "privacy_planned"))
    assert "epsilon at most 50" in before
    assert "as each client's ledger says" in after


def test_the_clipping_norm_that_had_adapted_goes_on(tmp_path: Path) -> None:
    terms = {key.replace("-", "_"): value for key, value in MODES["client"].items()}
    victim = begin(
        tmp_path / "run", rounds=3, task=LINEAR, privacy="client", rounding="stochastic",
        clipping_quantile=0.5, **terms,
    )  # fmt: skip
    with pytest.raises(Killed):
        serve(victim, killed_at(R1, 3))
    kept = Checkpoints(victim, victim.recorded()).latest().adapted
    assert kept != MODES["client"]["client-clipping-norm"]
    go_on(victim)
    assert events_of(victim, "round_finished")[-1]["client_clipping_norm"] == kept


def test_a_finished_run_is_refused_and_one_with_more_server_rounds_goes_on(tmp_path: Path) -> None:
    short, long = begin(tmp_path / "short", rounds=2), begin(tmp_path / "long", rounds=4)
    serve(long)
    serve(short)
    with pytest.raises(
        RuntimeError, match=r"^CONFIG: run short has finished its 2 server rounds; .*larger N"
    ):
        go_on(short)
    assert not events_of(short, "run_failed")
    go_on(short, rounds=4)
    assert model_of(short) == model_of(long)
    assert short.recorded().rounds == 4
    with pytest.raises(ConfigError, match="is less than the 4"):
        continued(short, {"rounds": 3})


def test_what_cannot_change_a_model_may_change_and_nothing_else(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", rounds=1)
    with pytest.raises(Killed):
        serve(directory, killed_at(R1, 1))
    free = {"cohort-deadline": 9.0, "training-deadline": 9.0, "round-deadline": 9.0, "poll-interval": 0.02,
            "device": "auto", "rounds": 3, "groups-at-once": 1}  # fmt: skip
    config = continued(directory, free)
    assert {key: config.table()[key] for key in free} == free
    assert configuration_digest(config) == configuration_digest(directory.recorded())
    changed = {"seed": 1, "task": "digits", "strategy": "fedadam", "clients": 4, "rounding": "stochastic",
               "learning-rate": 0.2, "central-test": False, "drop": "1@r1:round1", "data-path": "/x"}  # fmt: skip
    for key, value in changed.items():
        with pytest.raises(ConfigError, match=rf"^{key} is .* in run run and must stay so") as caught:
            continued(directory, {key: value})
        assert "\n" not in str(caught.value)
        other = RunConfig.parse(directory.recorded().table() | {key: value})
        assert configuration_digest(other) != configuration_digest(config)


def test_an_epsilon_that_was_shared_out_over_its_rounds_is_not_stretched(tmp_path: Path) -> None:
    directory = begin(
        tmp_path / "run", task=LINEAR, privacy="local", epsilon=3.0, rounding="stochastic", delta=1e-4
    )
    with pytest.raises(ConfigError, match="shared out over rounds = 1"):
        continued(directory, {"rounds": 2})


@pytest.mark.parametrize("content", [None, b"rounds = ", b"learnin-rate = 1", b"rounds = true", b"\xff"])
def test_a_directory_that_holds_no_run_is_refused_in_one_line(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(ConfigError, match="holds no run") as caught:
        continued(RunDirectory(tmp_path), {})
    assert "\n" not in str(caught.value)
    before = set(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match=r"^CONFIG: .* holds no run"):
        serve(begin(tmp_path / "other"), resume=str(tmp_path))
    assert set(tmp_path.iterdir()) == before | {tmp_path / "other"}


def test_a_run_that_left_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="run run left no checkpoint"):
        continued(begin(tmp_path / "run"), {})


def test_a_run_that_is_still_going_is_refused_and_not_disturbed(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", rounds=1)
    with pytest.raises(Killed):
        serve(directory, killed_at(R1, 1))
    with directory.at_work(directory.events):
        before = {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}
        with pytest.raises(RuntimeError, match=r"^CONFIG: run run is still going"):
            go_on(directory)
        assert {path: path.read_bytes() for path in before} == before
    go_on(directory)


def test_damaged_checkpoints_are_named_in_events_and_the_one_before_is_used(tmp_path: Path) -> None:
    undisturbed, victim = (begin(tmp_path / name, rounds=3, strategy="fedavgm") for name in "ab")
    serve(undisturbed)
    with pytest.raises(Killed):
        serve(victim, killed_at(R1, 3))
    newest = victim.checkpoints / "2.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1])
    go_on(victim)
    (refused,) = events_of(victim, "checkpoint_refused")
    assert (refused["file"], refused["code"]) == ("2.checkpoint", "ENV")
    assert events_of(victim, "run_resumed")[0]["server_round"] == 1
    assert model_of(victim) == model_of(undisturbed)


def test_with_no_usable_checkpoint_the_run_is_refused_typed(tmp_path: Path) -> None:
    victim = begin(tmp_path / "run", rounds=3)
    with pytest.raises(Killed):
        serve(victim, killed_at(R1, 3))
    for path in victim.checkpoints.iterdir():
        path.write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"^ENV: no checkpoint of run run can be used"):
        go_on(victim)
    assert len(events_of(victim, "checkpoint_refused")) == 2
    assert events_of(victim, "run_failed")[-1]["code"] == "ENV"


def test_a_default_on_flowers_command_line_changes_nothing(tmp_path: Path) -> None:
    """`flwr run . -c resume=...` hands every other key over at its default."""
    victim = begin(tmp_path / "run", rounds=2)
    with pytest.raises(Killed):
        serve(victim, killed_at(R1, 2))
    from app import server_app

    asked = RunConfig.parse({"resume": str(victim.path)})
    config = server_app._resumed(victim, asked)
    assert config.table() == victim.recorded().table() | {"resume": str(victim.path)}
    assert json.dumps(config.rounds) == "2"
