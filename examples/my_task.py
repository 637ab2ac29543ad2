"""A table in a CSV file, with missing values, and a small network: see docs/bring_your_own.md. It runs as it stands:

scripts/run -c task=examples.my_task -c data-path=examples/patients.csv -c clients=4 -c batch-size=16
"""

import csv

import numpy as np
from torch import nn

from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples

# Columns that go in, each with a typical value and a spread: public constants, the same on every client.
COLUMNS = {"age": (50, 15), "sex": (0.5, 0.5), "bmi": (26, 5), "blood pressure": (95, 14)}
LABEL = "readmitted"  # the column to predict: classes 0, 1, ...
NUMBERS = {"f": 0, "m": 1, "no": 0, "yes": 1, "": np.nan, "NA": np.nan}  # words, and what means missing


class MyTask(ClassificationTask):
    name = "my_task"

    def network(self) -> nn.Module:
        """As many inputs as columns, as many outputs as classes."""
        return nn.Sequential(nn.Linear(len(COLUMNS), 16), nn.GELU(), nn.Linear(16, 2))

    def load(self, source: DataSource) -> Examples:
        """All rows that have a label; what else is missing becomes the column's typical value."""
        with open(source.data_path, newline="", encoding="utf-8-sig") as file:
            words = [[row[name] for name in (*COLUMNS, LABEL)] for row in csv.DictReader(file)]
        cells = np.array([[float(NUMBERS.get(word, word)) for word in row] for row in words])
        cells = cells[~np.isnan(cells[:, -1])]
        typical, spread = np.array([*COLUMNS.values()]).T
        return Examples(np.nan_to_num((cells[:, :-1] - typical) / spread), cells[:, -1].astype(np.int64))


TASK = MyTask()
