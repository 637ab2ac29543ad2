"""Plain ServerApps: Flower's FedAvg, train and evaluate each round, every exchange timed.

`app` waits as Flower waits (`grid.send_and_receive`); `fast` pulls as `strategies.exchange` does instead, soon while
replies come in and more rarely while none do, which shows how much of a difference is only polling.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, Context, Message
from flwr.serverapp import Grid, ServerApp

from app.config import RunConfig
from app.inner_strategy import inner_strategy
from app.run_directory import RunDirectory
from app.server_app import training_record
from clients.tasks import load_task
from clients.updates import arrays_of

app = ServerApp()
fast = ServerApp()
_FIRST_PAUSE = 0.01

Send = Callable[..., Iterable[Message]]


@app.main()
def main(grid: Grid, context: Context) -> None:
    """FedAvg as Flower runs it."""
    _run(grid, context, grid.send_and_receive)


@fast.main()
def main_fast(grid: Grid, context: Context) -> None:
    """FedAvg with our polling."""
    most = RunConfig.parse(context.run_config).poll_interval

    def send(messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        waiting, replies, pause = set(grid.push_messages(messages)), list[Message](), _FIRST_PAUSE
        while True:
            arrived = list(grid.pull_messages(waiting))
            replies += arrived
            waiting -= {reply.metadata.reply_to_message_id for reply in arrived}
            if not waiting:
                return replies
            time.sleep(pause)
            pause = _FIRST_PAUSE if arrived else min(pause * 1.5, most)

    _run(grid, context, send)


def _run(grid: Grid, context: Context, send: Send) -> None:
    config = RunConfig.parse(context.run_config)
    directory = RunDirectory.open(Path(config.run_dir))
    model = load_task(config.task).model(config.seed)
    initial = ArrayRecord({name: Array(array) for name, array in arrays_of(model).items()})
    # Flower's own strategy and loop; only the method that it waits in is watched.
    grid.send_and_receive = _watched(send, directory)  # type: ignore[method-assign]
    record = training_record(config)
    started = time.monotonic()
    result = inner_strategy(config, config.clients).start(
        grid, initial, config.rounds, train_config=record, evaluate_config=record.copy()
    )
    found = result.evaluate_metrics_clientapp[config.rounds]
    seconds = round(time.monotonic() - started, 3)
    directory.emit(
        "run_finished", accuracy=found["accuracy"], loss=found["loss"], rounds_aggregated=config.rounds,
        seconds=seconds,
    )  # fmt: skip


def _watched(send: Send, directory: RunDirectory) -> Send:
    def call(messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        asked, started = list(messages), time.monotonic()
        config: Any = asked[0].content.config_records["config"]
        name, server_round = asked[0].metadata.message_type, config["server-round"]
        replies = list(send(asked, timeout=timeout))
        failed = [reply for reply in replies if reply.has_error()]
        if failed or len(replies) < len(asked):
            raise RuntimeError(f"{len(failed)} of {len(asked)} clients failed: no fair comparison")
        directory.emit(
            "trip", server_round=server_round, trip=name, answered=len(replies),
            seconds=round(time.monotonic() - started, 3),
        )  # fmt: skip
        return replies

    return call
