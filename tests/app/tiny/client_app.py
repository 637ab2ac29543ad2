"""A client that says where it ran from: for tests of the launcher."""

import os
import sys

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with the file of the imported `app` package and the working directory."""
    where = {
        "app": str(sys.modules["app"].__file__),
        "pythonpath": os.environ.get("PYTHONPATH", ""),
        "partition": int(context.node_config["partition-id"]),
    }
    return Message(RecordDict({"where": ConfigRecord(where)}), reply_to=message)
