"""Early ends of whole runs: the result, the last word, and a run that goes on where it stood."""

from pathlib import Path
from typing import Any

import pytest

from app.config import RunConfig
from app.privacy import terms_of
from app.progress import Progress, result_lines
from app.resuming import continued
from app.run_directory import read_lines
from arithmetic.errors import ConfigError
from privacy.ledger import charges_of
from tests.support.private_run import LINEAR, MODES
from tests.support.resumed import Killed, begin, events_of, go_on, killed_at, serve
from tests.support.run import SMALL_RUN
from wire.rounds import ProtocolRound

# A step so small that no weight moves: the second judged model is no better than the first.
STILL: dict[str, Any] = {"rounds": 8, "learning_rate": 1e-12, "momentum": 0.0, "patience": 2}
NOISY: dict[str, Any] = {"task": LINEAR, "privacy": "distributed", "rounding": "stochastic"}


def test_patience_ends_the_run_and_says_why(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", **STILL)
    serve(directory)
    last = directory.last_word()
    assert (last["event"], last["rounds_aggregated"], last["rounds"]) == ("run_finished", 3, 8)
    assert last["stopped"].startswith("none of the last 2 judged models has a lower loss")
    (stopped,) = events_of(directory, "run_stopped")
    assert (stopped["server_round"], stopped["rule"]) == (3, "patience")
    assert any("ended early: none of the last 2" in line for line in result_lines(last, 8))
    assert Progress(8).lines(stopped)[0].startswith("no more server rounds after 3: none of")
    final = events_of(directory, "round_finished")[-1]
    assert (final["purpose"], final["server_round"]) == ("evaluation", 4)
    assert final["loss"] == last["loss"]
    assert directory.model.exists()


def test_a_run_that_goes_on_has_kept_its_patience(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", **STILL)
    with pytest.raises(Killed):
        serve(directory, killed_at(ProtocolRound.SHARE_KEYS, 3))
    go_on(directory)
    assert directory.last_word()["rounds_aggregated"] == 3


@pytest.mark.parametrize("recorded", [False, True], ids=["by the server alone", "by the launcher first"])
def test_a_run_that_ended_early_goes_on_with_more_patience_alone(recorded: bool, tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", **STILL)
    serve(directory)
    for change in ({}, {"rounds": 20}):
        with pytest.raises(ConfigError, match=r"ended early .* continue it with another patience than 2"):
            continued(directory, change)
    config = continued(directory, {"patience": 4})
    if recorded:  # as the launcher does before it starts the server
        directory.record(config)
    go_on(directory, patience=4)
    assert directory.last_word()["rounds_aggregated"] == 5


def test_a_run_that_ended_early_goes_on_without_any_rule(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", **STILL)
    serve(directory)
    directory.record(continued(directory, {"patience": 0}))
    go_on(directory)
    assert directory.last_word()["rounds_aggregated"] == 8
    assert "stopped" not in directory.last_word()


def test_spent_budgets_leave_a_run_free_to_go_on(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", **STILL)
    with pytest.raises(Killed):
        serve(directory, killed_at(ProtocolRound.SHARE_KEYS, 3))
    directory.emit("run_finished", rounds=8, stopped="budgets are spent", ended_by={})
    assert continued(directory, {}).rounds == 8


def test_a_guarantee_never_passes_stop_epsilon(tmp_path: Path) -> None:
    mode = MODES["distributed"] | {"epsilon": 0.0}
    keys = NOISY | {name.replace("-", "_"): value for name, value in mode.items()} | {"noise_multiplier": 4.0}
    directory = begin(tmp_path / "free", **keys | {"rounds": 1})
    serve(directory)
    (ledger, *_) = sorted((directory.path / "ledgers").glob("*.jsonl"))
    from privacy.accounting import rdp_epsilon

    (one,) = charges_of(ledger)
    two = rdp_epsilon([one, one], 1e-5)
    directory = begin(tmp_path / "run", **keys | {"rounds": 6, "stop_epsilon": two * 1.0001})
    serve(directory)
    (stopped,) = events_of(directory, "run_stopped")
    assert (stopped["server_round"], stopped["rule"]) == (2, "stop-epsilon")
    assert "above stop-epsilon" in stopped["reason"]
    assert len(charges_of(directory.path / "ledgers" / ledger.name)) == 2
    with pytest.raises(RuntimeError, match="not one server round can be held"):
        serve(begin(tmp_path / "none", **keys | {"rounds": 6, "stop_epsilon": two / 100}))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"patience": 2, "privacy": "local", "noise-multiplier": 1.0, "central-test": False},
            "no loss to go by",
        ),
        ({"job": "analytics", "query": "q.toml", "patience": 1}, "does nothing with job = analytics"),
    ],
)
def test_a_rule_that_could_never_be_kept_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RunConfig.parse(SMALL_RUN | keys)


@pytest.mark.parametrize("mode", ["none", "local"])
def test_an_account_that_the_server_does_not_keep_ends_no_run(mode: str) -> None:
    config = RunConfig.parse(SMALL_RUN | MODES[mode] | {"privacy": mode, "stop-epsilon": 1.0})
    with pytest.raises(ConfigError, match="a node's policy has a budget"):
        terms_of(config)


def test_patience_without_any_loss_is_refused_before_a_client_trains(tmp_path: Path) -> None:
    mode = {name.replace("-", "_"): value for name, value in MODES["distributed"].items()}
    with pytest.raises(RuntimeError, match="has no public test set"):
        serve(begin(tmp_path / "run", **NOISY | mode | {"patience": 2}))
    assert not [e for e in read_lines(tmp_path / "run" / "events.jsonl") if e["event"] == "protocol_round"]
