"""A server that writes the events of a run and trains nothing: for tests of the launcher."""

import sys
import time
from pathlib import Path

from flwr.app import Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from app.config import RunConfig
from app.run_directory import RunDirectory

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask every client once a server round; end as the key `task` says."""
    config = RunConfig.parse(context.run_config)
    directory = RunDirectory.open(Path(config.run_dir))
    directory.emit("run_started", run=directory.id, task=config.task, clients=config.clients)
    while len(nodes := list(grid.get_node_ids())) < config.clients:
        time.sleep(0.1)
    directory.emit("cohort_ready", nodes=nodes)
    if config.task == "waiting":
        time.sleep(600)
    if config.task == "crashing":
        raise ValueError("the tiny app crashed")
    if config.task == "silent":
        sys.exit(3)
    if config.task == "failing":
        directory.emit("run_failed", code="QUORUM", reason="2 survivors, threshold 3")
        raise RuntimeError("QUORUM: 2 survivors, threshold 3")
    for server_round in range(1, config.rounds + 1):
        replies = _ask(grid, nodes)
        for reply in replies:
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
        where = [dict(reply.content["where"]) for reply in replies]
        directory.emit("asked", where=where)
        directory.emit("round_finished", server_round=server_round, purpose="training", keys=3)
    directory.emit("run_finished", accuracy=0.5, loss=1.0, rounds_aggregated=config.rounds)


def _ask(grid: Grid, nodes: list[int]) -> list[Message]:
    ids = set(grid.push_messages([Message(RecordDict(), n, MessageType.TRAIN) for n in nodes]))
    replies: list[Message] = []
    while ids:
        arrived = list(grid.pull_messages(ids))
        # Flower delivers a reply once: to ask for it again gives an error reply in its place.
        ids -= {reply.metadata.reply_to_message_id for reply in arrived}
        replies += arrived
        time.sleep(0.05)
    return replies
