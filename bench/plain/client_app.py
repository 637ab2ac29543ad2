"""Plain ClientApp: the same model, data, seeds and training as the secure one, the update in the clear.

Decides: nothing that Flower's own quickstart does not. Imports torch at the top, as every message needs it. `plain`
is the app itself, which the tests compare with too; `app` is the same one, watched.
"""

import time
from typing import Any

LOADING = time.time()

import torch  # noqa: E402 - imports are what is timed
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from torch import nn  # noqa: E402

from bench.plain.stopwatch import TimedClientApp, timed  # noqa: E402
from clients import training  # noqa: E402
from clients.tasks import ClientData, DataSource, Task, load_task  # noqa: E402

plain = ClientApp()
_CPU = torch.device("cpu")
_train, _evaluate = timed("train", training.train), timed("train", training.evaluate)


@plain.train()
def fit(message: Message, context: Context) -> Message:
    """Train and send the model."""
    config: Any = message.content.config_records["config"]
    task, model, data = _prepared(message, context)
    settings = training.TrainingConfig(
        config["local-epochs"], config["batch-size"], config["learning-rate"], config["momentum"],
        config["proximal-mu"], config["seed"],
    )  # fmt: skip
    partition = int(context.node_config["partition-id"])
    report = _train(task, model, data.train, settings, _CPU, config["server-round"], partition)
    metrics = MetricRecord({"num-examples": report.examples, "train_loss": report.mean_loss})
    arrays = ArrayRecord(model.state_dict())
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@plain.evaluate()
def judge(message: Message, context: Context) -> Message:
    """Send loss and metrics on the validation split."""
    task, model, data = _prepared(message, context)
    found = _evaluate(task, model, data.validation, _CPU)
    means = {name: total / found.examples for name, total in found.metric_sums.items()}
    metrics = MetricRecord({"num-examples": found.examples, "loss": found.loss_sum / found.examples, **means})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _prepared(message: Message, context: Context) -> tuple[Task, nn.Module, ClientData]:
    config: Any = message.content.config_records["config"]
    training.limit_threads(1)
    task = load_task(config["task"])
    model = task.model(config["seed"])
    # Copies into the model's own types, which a server optimiser may have widened.
    model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    place: Any = context.node_config
    source = DataSource(
        config["data-path"], place["partition-id"], place["num-partitions"], config["partition"],
        config["dirichlet-alpha"],
    )  # fmt: skip
    return task, model, task.partition_data(source, config["validation-fraction"], config["seed"])


app = TimedClientApp(plain, LOADING)
