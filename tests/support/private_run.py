"""Runs with differential privacy in this process, and what may be watched of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from privacy.ledger import charges_of
from privacy.mechanisms import Mechanism
from privacy.noise_shares import NoisePlan
from secagg.params import SecAggParams
from strategies.decoding import Decoder, Mean
from strategies.groups import RoundTotal
from strategies.outcome import Sums
from tests.support.run import Trial, at
from wire.noise import sum_plan
from wire.rounds import ProtocolRound, Purpose

LINEAR, SILENT, SCALAR = (f"tests.support.{name}_task" for name in ("linear", "silent", "scalar"))
EXAMPLE: dict[str, Any] = {"noise-multiplier": 1.5, "clipping-norm": 0.8}
SAMPLED: dict[str, Any] = {"sampling-probability": 0.5, "expected-batch": 40.0}
CLIENT: dict[str, Any] = {"client-noise-multiplier": 1.2, "client-clipping-norm": 0.2}
DELTA: dict[str, Any] = {"delta": 1e-4}
MODES: dict[str, dict[str, Any]] = {
    "none": {},
    "local": DELTA | EXAMPLE,
    "distributed": DELTA | EXAMPLE | SAMPLED,
    "client": DELTA | CLIENT,
    "local+client": DELTA | EXAMPLE | CLIENT,
}
VICTIM, R1 = 1, ProtocolRound("r1")
PRIVATE = [mode for mode in MODES if mode != "none"]


def private_trial(mode: str, folder: Path | str = "", overrides: dict[str, Any] | None = None) -> Trial:
    """A run of five clients whose ledgers lie below `folder`."""
    common = {"task": LINEAR, "privacy": mode, "max-examples": 40, "run-dir": str(folder)}
    return Trial(common | MODES[mode] | (overrides or {}))


def ledger_path(folder: Path, partition: int) -> Path:
    return folder / "ledgers" / f"{partition}.jsonl"


def charged(folder: Path, partition: int) -> tuple[Mechanism, ...]:
    """What one client's ledger says."""
    return charges_of(ledger_path(folder, partition))


def with_policy(trial: Trial, folder: Path, text: str, *partitions: int) -> None:
    """Give some nodes a policy file, and the ledger that such a node has to name for itself."""
    path = folder / "policy.toml"
    path.write_text(text)
    for partition in partitions:
        node_config = trial.grid.contexts[trial.grid.ids[partition]].node_config
        node_config["privacy-policy"] = str(path)
        node_config["privacy-ledger"] = str(ledger_path(folder, partition))


def configured(key: str, value: object) -> Callable[[RecordDict], object]:
    """An edit that tells a client another value of one key."""
    return lambda content: content.config_records["config"].__setitem__(key, value)  # type: ignore[arg-type]


def refusal(trial: Trial, edit: Callable[[RecordDict], object] = lambda content: None) -> str:
    """Why `VICTIM` leaves when what it is shown is edited; the others' sum comes out, and it is idle."""
    node = trial.grid.ids[VICTIM]

    def change(message: Message) -> Message:
        edit(message.content)
        return message

    trial.grid.before = at(R1, change, node)
    assert trial.session() is not None
    assert trial.named("round_finished")[0]["unmasked"] == trial.config.clients - 1
    assert list(trial.trip(R1)["refused"]) == [str(node)]
    assert "chorus" not in trial.grid.contexts[node].state
    reason = str(trial.trip(R1)["refused"][str(node)])
    assert reason.isprintable()
    assert len(reason) <= 200
    return reason


def plan_of(trial: Trial) -> NoisePlan:
    """The plan of a training session of the whole cohort."""
    params = trial.strategy._params(Purpose.TRAINING, trial.config.clients)
    return sum_plan(trial.settings.privacy, params, trial.settings.max_examples)


@dataclass(frozen=True)
class Sum:
    """What the server decodes in one training session: integers (d,), scalars by name, survivors."""

    integers: NDArray[np.int64]
    scalars: Mapping[str, int | float]
    survivors: int


@dataclass
class Watch:
    """A decoder that keeps what it is given."""

    inner: Decoder
    sums: list[Sum] = field(default_factory=list)

    @property
    def travelling(self) -> Mapping[str, Any]:
        return self.inner.travelling

    def check_params(self, params: SecAggParams) -> None:
        self.inner.check_params(params)

    def check(self, purpose: Purpose, sums: Sums, survivors: int, params: SecAggParams) -> None:
        self.inner.check(purpose, sums, survivors, params)

    def mean(self, total: RoundTotal, sums: Sums, integers: NDArray[Any], params: SecAggParams) -> Mean:
        self.sums.append(Sum(total.tensor.copy(), dict(sums), total.survivors))
        return self.inner.mean(total, sums, integers, params)


def watched(trial: Trial) -> list[Sum]:
    """The sums of the run to come, one a training session."""
    watch = Watch(trial.strategy._decoder)
    trial.strategy._decoder = watch
    return watch.sums
