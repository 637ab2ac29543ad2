"""A Flower ClientApp without secure aggregation: the same training, weights and counts in the clear."""

from typing import Any

import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from clients.tasks import ClientData, DataSource, Task, load_task
from clients.training import TrainingConfig, evaluate, train
from clients.updates import arrays_of, load_arrays, spec_of

app = ClientApp()
_CPU = torch.device("cpu")


@app.train()
def fit(message: Message, context: Context) -> Message:
    config: Any = message.content["config"]
    task, model, data = _prepared(message, context)
    settings = TrainingConfig(
        config["local-epochs"], config["batch-size"], config["learning-rate"], config["momentum"],
        config["proximal-mu"], config["seed"],
    )  # fmt: skip
    partition = int(context.node_config["partition-id"])
    report = train(task, model, data.train, settings, _CPU, config["server-round"], partition)
    metrics = MetricRecord({"num-examples": report.examples, "train_loss": report.mean_loss})
    arrays = ArrayRecord({name: Array(array) for name, array in arrays_of(model).items()})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def judge(message: Message, context: Context) -> Message:
    task, model, data = _prepared(message, context)
    found = evaluate(task, model, data.validation, _CPU)
    means = {name: total / found.examples for name, total in found.metric_sums.items()}
    metrics = MetricRecord({"num-examples": found.examples, "loss": found.loss_sum / found.examples, **means})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _prepared(message: Message, context: Context) -> tuple[Task, nn.Module, ClientData]:
    config: Any = message.content["config"]
    arrays: Any = message.content["arrays"]
    torch.set_num_threads(1)
    task = load_task(config["task"])
    model = task.model(config["seed"])
    # A server optimiser may widen a dtype; load_state_dict would narrow it again just so.
    load_arrays(model, spec_of(model).conform({name: array.numpy() for name, array in arrays.items()}))
    place: Any = context.node_config
    source = DataSource(
        config["data-path"], place["partition-id"], place["num-partitions"], config["partition"],
        config["dirichlet-alpha"],
    )  # fmt: skip
    return task, model, task.partition_data(source, config["validation-fraction"], config["seed"])
