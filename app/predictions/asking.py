"""What a client does with its kit: choose examples, ask, and read answers.

Decides: where examples come from and how many places of a ranking are shown. Refuses to know: options, printing and
the protocol (`predictions.client`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from app.deployment import files
from app.predictions.models import Examples, examples_of
from arithmetic.errors import ConfigError
from predictions.client import Reply
from predictions.program import Answer

INPUTS: Final = "inputs"
LABELS: Final = "labels"
_JSON_ANSWERS: Final = {"label": Answer.LABEL, "logits": Answer.LOGITS, "top": Answer.LOGITS}


@dataclass(frozen=True)
class Chosen:
    """Examples to ask about.

    Args:
        inputs: (rows, *shape).
        names: of each, for people.
        labels: (rows,) if the client knows them.
    """

    inputs: NDArray[Any]
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None


def from_task(task: str, data_path: str, numbers: list[int]) -> Chosen:
    """Examples of a task's test set, by number.

    Raises:
        ConfigError: no task, or no such number.
    """
    if not task:
        raise ConfigError("the kit names no task; give --task, or inputs of your own with --inputs")
    examples = examples_of(task, data_path)
    beyond = [number for number in numbers if not 0 <= number < len(examples.labels)]
    if beyond:
        raise ConfigError(
            f"example {beyond[0]} is not in the test set of {task}; it has 0 to {len(examples.labels) - 1}"
        )
    names = tuple(f"{task} {number}" for number in numbers)
    return Chosen(examples.inputs[numbers], names, examples.labels[numbers])


def from_file(path: Path) -> Chosen:
    """Examples of a safetensors file: `inputs` (rows, *shape), and `labels` (rows,) if there are any.

    Raises:
        ConfigError: no such file or tensor.
    """
    try:
        found = load(files.read(path))
        inputs = found[INPUTS]
    except (SafetensorError, KeyError):
        raise ConfigError(
            f"{path} is no safetensors file with a tensor {INPUTS!r}; write (rows, *shape) numbers there, prepared as "
            "the owner's model wants them"
        ) from None
    labels = found.get(LABELS)
    if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != inputs.shape[:1]):
        raise ConfigError(f"{LABELS!r} of {path} are no whole numbers, one a row; correct or leave them out")
    names = tuple(f"{path.name} {row}" for row in range(len(inputs)))
    return Chosen(inputs, names, None if labels is None else labels.astype(np.int64))


def all_of(task: str, data_path: str, most: int) -> Examples:
    """The first `most` examples of a task's test set; 0: all."""
    examples = examples_of(task, data_path)
    end = most or len(examples.labels)
    return Examples(examples.inputs[:end], examples.labels[:end])


def ranking(logits: NDArray[np.float64], places: int) -> list[tuple[int, float]]:
    """The best classes of one example with their softmax, best first."""
    powers = np.exp(logits - logits.max())
    shares = powers / powers.sum()
    best = np.argsort(-shares, kind="stable")[:places]
    return [(int(one), float(shares[one])) for one in best]


def answer_of(shown: str) -> Answer:
    """What is asked of the servers for what is to be shown."""
    return _JSON_ANSWERS[shown]


def shown_answers(shown: str, reply: Reply, places: int) -> list[Any]:
    """Each example's answer as plain JSON: a label, logits, or a ranking."""
    if shown == "label":
        return [int(one) for one in reply.answers]
    if shown == "logits":
        return [[round(float(one), 6) for one in row] for row in reply.answers]
    return [
        [{"label": label, "softmax": round(part, 6)} for label, part in ranking(row, places)]
        for row in np.asarray(reply.answers, dtype=np.float64)
    ]
