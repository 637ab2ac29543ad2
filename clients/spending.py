"""Where a client's ledger lies, what it may spend, and what its own log says about it.

Decides: the ledger's place (the node's configuration names it; a simulated client keeps one below the run's directory),
and that without a ledger nothing private is done.
Refuses to know: what is charged.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from arithmetic.errors import SetupError
from clients.tasks import length_of
from privacy.errors import LedgerError
from privacy.ledger import Ledger
from privacy.mechanisms import Budget, Mechanism

if TYPE_CHECKING:
    from torch.utils.data import Dataset

_UNLIMITED = 1e6


def place_of(
    run_config: Mapping[str, object], node_config: Mapping[str, object], simulated: bool
) -> Path | None:
    """The ledger's file: the node's `privacy-ledger`, or in a simulation `<run-dir>/ledgers/<partition>.jsonl`.

    Raises:
        SetupError: `privacy-ledger` is no absolute path.
    """
    named, folder = node_config.get("privacy-ledger"), run_config.get("run-dir", "")
    if named is not None:
        if not isinstance(named, str) or not Path(named).is_absolute():
            raise SetupError(
                "privacy-ledger in the node config is no absolute path; write it in full, in quotes"
            )
        return Path(named)
    if "privacy-policy" in node_config:
        return None  # a node with a policy is no simulation, and the run's folder is the submitter's
    if simulated and isinstance(folder, str) and folder and Path(folder).is_dir():
        return Path(folder) / "ledgers" / f"{node_config.get('partition-id')}.jsonl"
    return None


@dataclass
class Spending:
    """The ledger as one server round uses it.

    Attributes:
        place: the ledger's file; None where the node names none.
        fingerprint: of the data it is for.
        run: which run spends.
        budget: of the node's policy; None: whatever the run asks for.
        notes: for the client's own log.
        chain: the ledger's, after what was charged last; empty before.
    """

    place: Path | None
    fingerprint: str
    run: str
    budget: Budget | None
    notes: dict[str, str | int] = field(default_factory=dict)
    chain: str = ""

    @classmethod
    def of(cls, place: Path | None, data: "Iterable[Dataset[Any]]", run: str, budget: Budget | None) -> Self:
        """For the data it protects, however a run divides it."""
        return cls(place, fingerprint(*data), run, budget)

    def charge(self, *mechanisms: Mechanism, server_round: int) -> None:
        """Write releases down before they happen: all of them, or none where one would pass the budget.

        Raises:
            SetupError: no ledger is named.
            BudgetExhausted: it would pass the budget.
            LedgerError: the ledger vanished, is torn, held, of other data, or cannot be made.
        """
        if self.place is None:
            raise SetupError(
                "differential privacy needs a ledger on the node; set privacy-ledger in the node config to a file "
                "that outlives runs"
            )
        if not Ledger.existed(self.place):
            try:
                # One folder at most: the place of a volume that is not mounted must not be made up.
                self.place.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise LedgerError(f"the folder of the ledger cannot be made: {error.strerror}") from error
            Ledger.create(self.place, self.fingerprint)
        with Ledger.open(self.place, self.fingerprint) as ledger:
            budget = self.budget or Budget(_UNLIMITED, 1e-5)  # delta plays no part where it is unlimited
            ledger.check(*mechanisms, budget=budget)
            for mechanism in mechanisms:
                ledger.charge(mechanism, self.run, server_round, budget)
            self.chain = ledger.chain

    def note(self, **facts: str | int) -> None:
        """Remember something for the client's own log."""
        self.notes |= facts


def fingerprint(*data: "Dataset[Any]") -> str:
    """SHA-256 over all examples, hexadecimal: the same data has the same ledger, in whatever order and split."""
    import torch  # only where data of a task is charged for: an answer to a question needs none

    from clients.training import gather

    digests = []
    for one in data:
        for index in range(length_of(one)):
            state = hashlib.sha256()
            _absorb(state, gather(one, torch.tensor([index])))
            digests.append(state.digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _absorb(state: Any, batch: Any) -> None:  # noqa: ANN401 - hashlib's own type; the task's own type
    import torch

    if isinstance(batch, torch.Tensor):
        array = batch.contiguous().cpu()
        state.update(f"{array.dtype}{tuple(array.shape)}".encode())
        state.update(
            array.view(torch.uint8).numpy().data if array.numel() and array.dim() else repr(batch).encode()
        )
    elif isinstance(batch, Mapping):
        for key in sorted(batch):
            state.update(repr(key).encode())
            _absorb(state, batch[key])
    elif isinstance(batch, list | tuple):
        for entry in batch:
            _absorb(state, entry)
    else:
        state.update(repr(batch).encode())
