"""The costs that are told beforehand are those that a query has."""

import numpy as np
import pytest
from torch import nn

from predictions.conversion import convert
from predictions.costs import Cost, cost_of
from predictions.program import Answer, Linear, Program, Relu
from predictions.values import to_integers
from tests.support.masked_run import INPUT, dense, everything, network, predict, random_inputs, random_weights


@pytest.mark.parametrize("answer", list(Answer))
@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("program", [dense(), dense(40), everything(), everything(32)], ids=range(4))
def test_a_query_costs_what_was_told(program: Program, rows: int, answer: Answer) -> None:
    rng = np.random.default_rng(rows)
    labels = np.zeros(rows, np.int64) if answer is Answer.COUNT else None
    told = predict(program, random_weights(program, rng), random_inputs(program, rows, rng), answer, labels)
    cost = cost_of(program, rows, answer)
    for messages in told.messages:
        assert cost == Cost(len(messages), sum(map(len, messages)), len(told.corrections))


def test_a_lean_tree_costs_what_was_told() -> None:
    program = network((INPUT, (2,), 64), (Linear(0, 1, 0, 8), (1024,), 32), (Relu(1, 2), (1024,), 64))
    rng = np.random.default_rng(0)
    program = Program(
        (*program.wires, program.wires[1]),
        (*program.operations, Linear(2, 3, 1, 8)),
        program.low,
        program.high,
    )
    told = predict(program, random_weights(program, rng), random_inputs(program, 16, rng))
    assert len(told.corrections) == cost_of(program, 16, Answer.LOGITS).material
    assert len(told.messages[0]) == cost_of(program, 16, Answer.LOGITS).exchanges == 6


def test_a_large_network_has_a_cost_without_being_run() -> None:
    cost = cost_of(dense(), 1 << 20, Answer.LABEL)
    # Two products, a ReLU of 3 + 1, and three rounds of five classes.
    assert cost.exchanges == 2 + 4 + 3 * 4
    assert cost.opened > 1 << 20


@pytest.mark.parametrize("rows", [1, 9])
def test_a_norm_costs_what_was_told(rows: int) -> None:
    module = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)).eval()
    program, weights = convert(module, (6,), -1.0, 1.0)
    inputs = to_integers(program, np.random.default_rng(0).uniform(-1, 1, (rows, 6)))
    told = predict(program, weights, inputs)
    cost = cost_of(program, rows, Answer.LOGITS)
    for messages in told.messages:
        assert cost == Cost(len(messages), sum(map(len, messages)), len(told.corrections))
