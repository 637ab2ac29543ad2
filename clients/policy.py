"""The node's policy: what its administrator allows a run to ask of the node's data.

Decides: whether a session, a run's privacy terms, job, task, columns and incoming model keep to the policy, and what
a server is told when they do not. Refuses to know: the file's grammar (`clients.policy_file`), how a session runs,
how noise is added, what was spent (`privacy.ledger`).

The file is named by `privacy-policy` in the node config, an absolute path; whoever submits a run writes the run
config and the app's folder, and reaches neither. A node without that key has the empty policy, which allows
everything. A file that is named and cannot be used allows nothing.

Server and node: the stricter wins, key by key. The node refuses what is laxer than its policy, and what a run asks
beyond it stands: of a run with 8 survivors at least a node with 5 wants nothing more. It refuses and never amends:
what one client raised for itself, the others would not have agreed to.

Left out on purpose. Fewest neighbours: a threshold is at most neighbours + 1, so `min-threshold` implies them.
Largest clipping norm: the noise grows with it, the guarantee does not depend on it. Digests of allowed models: the
global model is another one in every server round, and nobody but the server says which round is the first.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from clients.policy_file import RULE_OUT_NONE, PolicyKeys, PolicyUnusable, parse, read
from privacy.mechanisms import Budget
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.bounds import Adversary
from secagg.errors import Refused
from secagg.params import SecAggParams

NODE_KEY: Final = "privacy-policy"


class PolicyRefused(Refused):
    """What was asked is laxer than the node's policy.

    The text names the policy's line and what was asked, nothing else of the node; it may be sent to a server.
    """

    def __init__(self, message: str, source: str) -> None:
        super().__init__(message)
        self._source = source

    @property
    def line(self) -> str:
        """`POLICY: message`, and the file, for the node's own log."""
        return f"{super().line} ({self._source})" if self._source else super().line


@dataclass(frozen=True)
class Policy:
    """A policy, checked; `Policy()` is the empty one. The others are made by `of_node`, `load` and `parse`.

    Attributes:
        keys: the limits.
        lines: key -> number of the line on which it starts, from 1; every key that is set.
        source: the file, for the node's own log.
        digest: SHA-256 of the file, 64 hexadecimal digits; empty for the empty policy.
    """

    keys: PolicyKeys = field(default_factory=PolicyKeys)
    lines: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    digest: str = ""

    @classmethod
    def of_node(cls, node_config: Mapping[str, object]) -> Self:
        """The policy that a node config names; the empty one only where the key is absent.

        Raises:
            PolicyUnusable: the value is no text; or see `load`.
        """
        if NODE_KEY not in node_config:
            return cls()
        named = node_config[NODE_KEY]
        if not isinstance(named, str):
            raise PolicyUnusable(f"{NODE_KEY} in the node config is no path; write it in quotes")
        return cls.load(Path(named))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The policy in a file of at most 64 KiB of UTF-8, by its absolute path.

        Raises:
            PolicyUnusable: it cannot be read, or is no policy (`clients.policy_file`).
        """
        return cls.parse(read(path), str(path))

    @classmethod
    def parse(cls, text: str, source: str = "") -> Self:
        """The policy in a TOML text; `source` is the file's name for errors and the node's own log.

        Raises:
            PolicyUnusable: it is no policy; one sentence that names the line.
        """
        return cls(*parse(text, source), source, hashlib.sha256(text.encode()).hexdigest())

    @property
    def budget(self) -> Budget | None:
        """What may be spent, for each unit, over the ledger's life; None: no limit."""
        epsilon, delta = self.keys.max_epsilon, self.keys.delta
        return None if epsilon is None or delta is None else Budget(epsilon, delta)

    def check_session(self, params: SecAggParams) -> None:
        """Whether the node takes part in a session of these parameters; to be asked before anything is shared.

        Raises:
            PolicyRefused: it does not.
        """
        if self.keys.adversary is Adversary.ACTIVE and params.adversary is not Adversary.ACTIVE:
            what = f"the session holds against a server that is {params.adversary}, not active"
            self._refuse("adversary", what, "run against an active one")
        what = f"the session would unmask a sum of {params.min_survivors} clients"
        self._at_least("min-cohort", params.min_survivors, what, "raise min-cohort of the run")
        what = f"{params.threshold} shares would rebuild a client's secret"
        self._at_least("min-threshold", params.threshold, what, "raise threshold of the run")
        what = f"the session's threshold holds against {params.colluders} colluders"
        self._at_least("tolerated-colluders", params.colluders, what, "raise colluders of the run")

    def check_ring(self, hospitals: int) -> None:
        """Whether the node takes part in a ring of so many hospitals; to be asked before anything is signed.

        A neighbour and the key holder together learn a vector, and a key holder that lies about who dropped learns one
        too: the ring has no threshold, tolerates no colluder and does not hold against an active server.

        Raises:
            PolicyRefused: it does not.
        """
        if self.keys.adversary is Adversary.ACTIVE:
            what = "the ring does not hold against a server that lies about who dropped"
            self._refuse("adversary", what, "sum under masks (job = train)")
        what = f"the ring would open a sum of {hospitals} hospitals"
        self._at_least("min-cohort", hospitals, what, "let more hospitals take part")
        for key, least in (("min-threshold", 1), ("tolerated-colluders", 0)):
            what = "one neighbour and the key holder of a ring learn a hospital's vector"
            self._at_least(key, least, what, "sum under masks (job = train)")

    def check_terms(self, terms: PrivacyTerms) -> None:
        """Whether the node agrees to a run's privacy terms; to be asked before anything is trained or charged.

        A run without differential privacy has no noise and no end to what it spends, so each of `max-epsilon`,
        `min-noise-multiplier` and `min-colluders` rules it out. What passes is still to be charged to `budget`. A
        noise multiplier of 0, which a target epsilon stands for, is below any floor: ask with the one it comes to.

        Raises:
            PolicyRefused: it does not.
        """
        self._among(
            "modes", terms.mode, f"the privacy mode of the run is {terms.mode}", "choose another mode"
        )
        if terms.mode is PrivacyMode.NONE:
            for key in RULE_OUT_NONE:
                if self._limit(key) is not None:
                    self._refuse(key, "the run has no differential privacy", "choose a mode that has")
        for name, multiplier in _noise_multipliers(terms).items():
            what = f"{name} of the run is {multiplier}"
            self._at_least("min-noise-multiplier", multiplier, what, "raise it")
        # The noise of DP-SGD is the client's own, and holds against everyone.
        if terms.mode.shares_noise:
            what = f"the noise of the run holds against {terms.colluders} colluders"
            self._at_least("min-colluders", terms.colluders, what, "raise colluders of the run")

    def check_job(self, job: str) -> None:
        """Whether the node takes part in a job (`train`, `analytics`, ...); to be asked before anything is shared.

        Raises:
            PolicyRefused: it does not.
        """
        self._among("jobs", job, f"the job of the run is {job}", "choose another job")

    def check_columns(self, columns: Iterable[str]) -> None:
        """Whether the node lets these columns of its tables be asked; to be asked before a table is opened.

        A policy that lists tasks, and neither jobs nor columns, was written for training: it lets nothing be asked.

        Raises:
            PolicyRefused: it does not.
        """
        keys = self.keys
        if keys.columns is None and keys.jobs is None and keys.tasks is not None:
            self._refuse("tasks", "the run asks sums of a table, which is no task", "list the columns too")
        for column in sorted(columns):
            self._among("columns", column, f"column {column!r:.60} is asked", "ask others")

    def check_task(self, task: str) -> None:
        """Whether the node works at a task; to be asked before the task's module is imported.

        Raises:
            PolicyRefused: it does not.
        """
        self._among("tasks", task, f"the task of the run is {task!r:.40}", "choose another task")

    def check_model(self, task: str, layout: bytes, parameters: int, norm: float) -> None:
        """Whether the node lets an incoming model at its data; to be asked before it does.

        Args:
            task: name of the task.
            layout: `VectorSpec.digest` of the model that the incoming arrays were found to fit.
            parameters: numbers in all arrays of the incoming model, whatever their kind.
            norm: `norm_of` the incoming model.

        Raises:
            PolicyRefused: it does not; or the norm is no finite number, which no policy allows.
        """
        self.check_task(task)
        self._among(
            "layouts", layout.hex(), f"the model's layout is {layout.hex():.64}", "choose another model"
        )
        what = f"the model has {parameters} parameters"
        self._at_most("max-parameters", parameters, what, "choose a smaller model")
        if not 0.0 <= norm < math.inf:
            message = "the incoming model's norm is no finite number, which no policy allows; mend the model"
            raise PolicyRefused(message, self.source)
        what = f"the incoming model's L2 norm is {norm}"
        self._at_most("max-parameter-norm", norm, what, "send a model of a smaller norm")

    def _at_least(self, key: str, asked: float, what: str, remedy: str) -> None:
        least = self._limit(key)
        if least is not None and not asked >= least:  # a NaN is refused
            self._refuse(key, what, remedy)

    def _at_most(self, key: str, asked: float, what: str, remedy: str) -> None:
        most = self._limit(key)
        if most is not None and not asked <= most:
            self._refuse(key, what, remedy)

    def _among(self, key: str, asked: str, what: str, remedy: str) -> None:
        listed = self._limit(key)
        if listed is not None and asked not in listed:
            self._refuse(key, what, remedy)

    def _limit(self, key: str) -> Any:  # noqa: ANN401 - None, or what the key's type says
        return getattr(self.keys, key.replace("-", "_"))

    def _refuse(self, key: str, what: str, remedy: str) -> NoReturn:
        """Raise the one sentence; a list's items stay here, they may name the node's other work."""
        limit = self._limit(key)
        named = key if isinstance(limit, tuple) else f"{key} = {limit}"
        message = f"policy line {self.lines[key]} ({named}): {what}; ask the node's administrator or {remedy}"
        raise PolicyRefused(message, self.source)


def norm_of(arrays: Mapping[str, NDArray[Any]]) -> float:
    """L2 norm over all real-valued arrays of a model, in float64; not finite where an entry is not.

    Integer buffers count batches and the like, and are left out.
    """
    reals = [array for array in arrays.values() if array.size and np.issubdtype(array.dtype, np.floating)]
    norms = [_norm(array.astype(np.float64)) for array in reals]
    return math.hypot(*norms)


def _norm(values: NDArray[np.float64]) -> float:
    """Scaled by the largest entry, so that no square overflows or vanishes."""
    largest = float(np.abs(values).max())
    scaled = float(np.linalg.norm(values / largest)) if 0.0 < largest < math.inf else 1.0
    return largest * scaled


def _noise_multipliers(terms: PrivacyTerms) -> dict[str, float]:
    """The noise multipliers that the mode uses, each under its key in the run config."""
    multipliers = {}
    if terms.mode.is_local or terms.mode is PrivacyMode.DISTRIBUTED:
        multipliers["noise-multiplier"] = terms.noise_multiplier
    if terms.mode.hides_clients:
        multipliers["client-noise-multiplier"] = terms.client_noise_multiplier
    return multipliers
