"""The ledger of one node's data: every noisy release, on disk before it happens. It outlives runs.

Decides when a release may be charged (RDP, before anything is written) and whose ledger it is.
Refuses to know files (`privacy.ledger_file`), what an epsilon means to anyone, and which policy names the budget.

A charge is written and synchronised before `charge` returns; only then may anything leave. A process killed at any
point has therefore charged at least what it released. Nothing is guessed or repaired: a ledger that vanished, is
torn, edited, held, of other data or of another schema is refused, and a person decides. Not seen is a whole file
put back from an older copy: keep ledgers out of what backups restore.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from arithmetic.errors import ParameterError
from privacy.accounting import RdpTotal
from privacy.errors import BudgetExhausted, LedgerDamaged, LedgerForeign
from privacy.ledger_file import LedgerFile
from privacy.mechanisms import Budget, Mechanism, Unit, from_record, to_record, whole

SCHEMA = 1
_HEADER = {"schema", "ledger", "fingerprint", "created"}
_CHARGE = {"mechanism", "unit", "run", "round"}
_LONGEST_NAME = 256


class Ledger:
    """An open and locked ledger; a context manager. Made by `Ledger.create`, opened by `Ledger.open`.

    Attributes:
        ledger_id: 32 hexadecimal digits, its own for life.
    """

    def __init__(self, file: LedgerFile, fingerprint: str) -> None:
        """For `open`."""
        self._file = file
        self.ledger_id = _checked_header(file.entries, fingerprint)
        self._mechanisms: list[Mechanism] = []
        self._totals: dict[Unit, RdpTotal] = {"example": RdpTotal(), "client": RdpTotal()}
        for entry in file.entries[1:]:
            self._count(_mechanism_of(entry))

    @staticmethod
    def existed(path: Path) -> bool:
        """Whether there is, or once was, a ledger at `path`: then it is opened, never created."""
        return LedgerFile.existed(path)

    @staticmethod
    def create(path: Path, fingerprint: str) -> None:
        """Make an empty ledger for the data of that fingerprint (a text of 1 to 256 characters).

        Raises:
            LedgerMissing: there was one, and it vanished.
            LedgerError: there is one, or it cannot be written.
            ParameterError: the fingerprint is none.
        """
        _check_name(fingerprint, "the fingerprint of the data")
        header = {
            "schema": SCHEMA,
            "ledger": secrets.token_hex(16),
            "fingerprint": fingerprint,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        LedgerFile.create(path, header)

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> Self:
        """The ledger at `path`, locked until it is closed or the process ends.

        Raises:
            LedgerMissing: there is none.
            LedgerHeld: another process has it open.
            LedgerDamaged: it does not parse.
            LedgerForeign: it is of other data or of another schema.
            LedgerError: it cannot be opened.
        """
        file = LedgerFile.open(path)
        try:
            return cls(file, fingerprint)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back; nothing can be charged any more."""
        self._file.close()

    @property
    def chain(self) -> str:
        """SHA-256 that covers every line up to the last, 64 hexadecimal digits."""
        return self._file.chain

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """Everything charged, oldest first."""
        return tuple(self._mechanisms)

    def spent(self, delta: float) -> dict[Unit, float]:
        """Epsilon by RDP of all releases, for each unit; two guarantees, never added."""
        return {unit: total.epsilon(delta) for unit, total in self._totals.items()}

    def check(self, *mechanisms: Mechanism, budget: Budget) -> None:
        """Whether all of `mechanisms` could be charged now; far below a millisecond each, whatever the history.

        Raises:
            BudgetExhausted: they would pass the budget.
        """
        totals = dict(self._totals)
        for mechanism in mechanisms:
            total = totals[mechanism.unit] = totals[mechanism.unit].plus(mechanism)
            epsilon = total.epsilon(budget.delta)
            if not epsilon <= budget.epsilon:
                raise BudgetExhausted(
                    f"this release would pass the {mechanism.unit}{BudgetExhausted.NAMED} {budget.epsilon:g} at delta "
                    f"{budget.delta:g}; nothing was released: end the run, or let the node's policy allow more",
                    epsilon,
                )

    def charge(self, mechanism: Mechanism, run: str, server_round: int, budget: Budget) -> None:
        """Charge one release before it happens; when this returns, the line is on disk.

        Args:
            mechanism: what will be released.
            run: name of the run, 1 to 256 characters.
            server_round: from 0.
            budget: for the mechanism's unit, over the ledger's whole life.

        Raises:
            BudgetExhausted: it would pass the budget; nothing was written.
            LedgerMissing, LedgerDamaged: the file vanished or changed while it was open; nothing was written.
            LedgerError: it could not be written for certain, or is closed. Nothing may be released; what reached
                the disk counts, and the ledger can be opened again.
            ParameterError: the run or the server round is none.
        """
        _check_name(run, "the name of a run")
        whole(server_round, "the server round", 0, 2**63)
        self.check(mechanism, budget=budget)
        record = to_record(mechanism)
        self._file.append({"mechanism": record, "unit": mechanism.unit, "run": run, "round": server_round})
        self._count(mechanism)

    def _count(self, mechanism: Mechanism) -> None:
        """Add what is on disk to the totals."""
        self._mechanisms.append(mechanism)
        self._totals[mechanism.unit] = self._totals[mechanism.unit].plus(mechanism)


def _checked_header(entries: list[dict[str, object]], fingerprint: str) -> str:
    """The ledger's identifier, if it is one of this schema and of this data."""
    if not entries:
        raise LedgerDamaged(
            "the ledger is empty; if it was never used, delete it and its .made file, and create it anew"
        )
    header = entries[0]
    schema, ledger_id = header.get("schema"), header.get("ledger")
    if type(schema) is not int or schema != SCHEMA:
        raise LedgerForeign(
            f"the ledger has schema {schema!r:.40}, and this version knows {SCHEMA}; use the version that wrote it"
        )
    if set(header) != _HEADER or not isinstance(ledger_id, str):
        raise LedgerDamaged("the ledger's header is not that of a ledger; restore what it was")
    if header["fingerprint"] != fingerprint:
        raise LedgerForeign(
            "the ledger is of other data; name the ledger of this data, or create one if this data was never used"
        )
    return ledger_id


def _mechanism_of(entry: Mapping[str, object]) -> Mechanism:
    """What one line charged."""
    try:
        mechanism = from_record(entry.get("mechanism"))
    except ParameterError as error:
        raise LedgerDamaged(f"a line of the ledger holds no mechanism: {error}") from error
    if set(entry) != _CHARGE or entry["unit"] != mechanism.unit:
        raise LedgerDamaged("a line of the ledger is not that of a charge; restore what it was")
    return mechanism


def _check_name(name: object, what: str) -> None:
    """Refuse what is no name."""
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME:
        raise ParameterError(f"{what} must be a text of 1 to {_LONGEST_NAME} characters, not {name!r:.40}")


def charges_of(path: Path) -> tuple[Mechanism, ...]:
    """Everything charged in the ledger at `path`, oldest first, whatever data it is for.

    Raises:
        LedgerError: it is missing, held or damaged.
    """
    file = LedgerFile.open(path)
    try:
        return tuple(_mechanism_of(entry) for entry in file.entries[1:])
    finally:
        file.close()
