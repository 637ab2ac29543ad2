"""One run in this process: the real strategy and the real ClientApp over `LocalGrid`."""

import logging
from collections.abc import Callable
from typing import Any

from flwr.app import Array, ArrayRecord, Message
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Result, Strategy

from app import server_app
from app.client_app import app as client_app
from app.config import RunConfig
from app.inner_strategy import inner_strategy
from clients.tasks import load_task
from clients.updates import arrays_of, spec_of
from strategies.secure_aggregation import SecureAggregation
from tests.support.local_grid import LocalGrid
from tests.support.plain_app import app as plain_app
from wire.rounds import ProtocolRound

TINY = "tests.support.tiny_task"
SMALL_RUN: dict[str, Any] = {
    "task": TINY, "clients": 5, "rounds": 1, "local-epochs": 1, "batch-size": 4, "device": "cpu",
    "poll-interval": 0.01, "round-deadline": 0.2, "training-deadline": 30.0, "cohort-deadline": 0.2,
    "validation-fraction": 0.25,
}  # fmt: skip
DIGITS: dict[str, Any] = {
    "task": "digits", "clients": 10, "rounds": 3, "local-epochs": 1, "batch-size": 32, "device": "cpu",
    "poll-interval": 0.01, "round-deadline": 5.0, "training-deadline": 60.0, "validation-fraction": 0.2,
}  # fmt: skip

logging.getLogger("flwr").setLevel(logging.ERROR)


def copied(record: ArrayRecord) -> dict[str, Any]:
    """A model's arrays by name."""
    return {name: array.numpy().copy() for name, array in record.items()}


class Trial:
    """A run that has not started; `SMALL_RUN` with `overrides`."""

    def __init__(
        self,
        overrides: dict[str, Any] | None = None,
        inner: Strategy | None = None,
        nodes: int | None = None,
        app: ClientApp = client_app,
        mean_only: bool = False,
    ) -> None:
        self.config = RunConfig.parse(SMALL_RUN | (overrides or {}))
        self.task = load_task(self.config.task)
        model = self.task.model(self.config.seed)
        self.spec = spec_of(model)
        self.initial = arrays_of(model)
        self.settings = server_app.settings_of(self.config)
        self.params = self.settings.params(self.settings.group_size, self.spec.tensor_length, 0)
        self.inner = inner or inner_strategy(self.config, self.settings.groups * self.params.min_survivors)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.strategy = SecureAggregation(
            self.inner, self.spec, self.settings, self.task.metric_names, self.emit, mean_only
        )
        self.grid = LocalGrid(app, nodes or self.config.clients, self.config.table())

    def emit(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        """The fields of every event of one name."""
        return [fields for name, fields in self.events if name == event]

    def trips(self, server_round: int, purpose: str = "training") -> list[dict[str, Any]]:
        """The protocol rounds of one session, in order."""
        found = self.named("protocol_round")
        return [e for e in found if (e["server_round"], e["purpose"]) == (server_round, purpose)]

    def trip(self, protocol_round: ProtocolRound, server_round: int = 1) -> dict[str, Any]:
        """One protocol round of a training session."""
        return next(e for e in self.trips(server_round) if e["protocol_round"] == protocol_round)

    def start(self, central: bool = False) -> Result:
        """The whole run."""
        judge = server_app.central_test(self.task, self.config, self.spec) if central else None
        return self.strategy.start(
            self.grid, self.arrays(), self.config.rounds,
            train_config=server_app.training_record(self.config), evaluate_fn=judge,
        )  # fmt: skip

    def session(self, server_round: int = 1) -> ArrayRecord | None:
        """One training session alone: the new model, None when it failed."""
        config = server_app.training_record(self.config)
        assert not list(self.strategy.configure_train(server_round, self.arrays(), config, self.grid))
        return self.strategy.aggregate_train(server_round, [])[0]

    def arrays(self) -> ArrayRecord:
        """The initial model."""
        return ArrayRecord({name: Array(array) for name, array in self.initial.items()})

    def plain(self, inner: Strategy | None = None) -> Result:
        """The same run without secure aggregation."""
        grid = LocalGrid(plain_app, self.config.clients, self.config.table())
        strategy = inner or inner_strategy(self.config, self.settings.groups * self.params.min_survivors)
        return strategy.start(
            grid, self.arrays(), self.config.rounds, train_config=server_app.training_record(self.config),
            evaluate_config=server_app.training_record(self.config),
        )  # fmt: skip


def at(
    protocol_round: ProtocolRound, change: Callable[[Message], Message | None], *nodes: int, group: str = "1"
) -> Callable[[Message], Message | None]:
    """A `Tamper` that changes messages of one protocol round (and of these nodes, if any are given)."""

    def tamper(message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        node = message.metadata.src_node_id if node == 1 else node
        meant = message.metadata.message_type == protocol_round.message_type
        if meant and message.metadata.group_id == group and (not nodes or node in nodes):
            return change(message)
        return message

    return tamper


def swallow(message: Message) -> None:
    """A change that loses the message."""
