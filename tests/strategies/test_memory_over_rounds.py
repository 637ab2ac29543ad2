"""What a server keeps does not grow with its server rounds, nor what a client keeps between them."""

import gc
import logging
import tracemalloc

from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp.strategy import FedAvg

from app.client_app import app
from app.config import RunConfig
from app.server_app import training_record
from clients.tasks import load_task
from clients.updates import arrays_of, spec_of
from strategies import SecureAggregation
from strategies.settings import Deadlines, Settings
from tests.support.local_grid import LocalGrid

WARM, LAST = 4, 12
A_MODEL = 4 * 10_026  # bytes, float32


def test_memory_after_many_rounds_is_that_of_a_few() -> None:
    """Figures are kept, 3 kB a server round; a vector of one client would be 30 kB, three times what is allowed."""
    config = RunConfig.parse({"clients": 3, "rounds": LAST, "local-epochs": 1, "batch-size": 500})
    task = load_task(config.task)
    model = task.model(0)
    grid = LocalGrid(app, 3, dict(config.table()))
    held: dict[int, int] = {}

    def look(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        for kept in (grid.received, grid.wire, grid.sent):  # the test's own record of the wire
            kept.clear()
        gc.collect()
        held[server_round] = tracemalloc.get_traced_memory()[0]
        return MetricRecord()

    strategy = SecureAggregation(
        FedAvg(), spec_of(model), Settings(cohort=3, deadlines=Deadlines(60.0, 60.0, 0.01)), task.metric_names
    )
    initial = ArrayRecord({name: Array(array) for name, array in arrays_of(model).items()})
    logging.disable(logging.INFO)  # pytest keeps every record
    tracemalloc.start()
    try:
        strategy.start(grid, initial, LAST, train_config=training_record(config), evaluate_fn=look)
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
    assert len(strategy.aggregated) == LAST
    assert held[LAST] - held[WARM] < (LAST - WARM) * A_MODEL / 4, held
