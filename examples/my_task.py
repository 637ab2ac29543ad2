"""A table in a CSV file, with missing values, and a small network. Try it, then make it yours:

scripts/run -c task=examples.my_task -c data-path=examples/patients.csv -c clients=4 -c batch-size=16
"""

import numpy as np
from torch import nn

from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples

# Public constants, the same on every client: no statistic of anybody's rows is needed to fill in and to scale.
COLUMNS = {"age": (50, 15), "bmi": (26, 5), "blood_pressure": (95, 14), "glucose": (100, 20)}
LABEL = "readmitted"  # a column of whole numbers from 0


class MyTask(ClassificationTask):
    """Two classes from four columns."""

    name = "my_task"

    def network(self) -> nn.Module:
        """As many inputs as columns, as many outputs as classes."""
        return nn.Sequential(nn.Linear(len(COLUMNS), 16), nn.GELU(), nn.Linear(16, 2))

    def load(self, source: DataSource) -> Examples:
        """All rows of the file; what is missing becomes the column's typical value."""
        table = np.genfromtxt(source.data_path, delimiter=",", names=True, dtype=np.float32)
        table = table[~np.isnan(table[LABEL])]  # a row without a label teaches nothing
        scaled = [(table[name] - middle) / spread for name, (middle, spread) in COLUMNS.items()]
        return Examples(np.nan_to_num(np.stack(scaled, axis=1)), table[LABEL].astype(np.int64))


TASK = MyTask()
