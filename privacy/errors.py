"""What goes wrong with a privacy budget and its ledger. Decides the leaves of the error tree; knows no files.

ChorusError            (arithmetic.errors)
BudgetExhausted POLICY   the next release would pass the budget; nothing was written, nothing released
SetupError      ENV
LedgerError            a ledger that cannot be used; training stops until a person has looked
LedgerMissing        it is not there, though it was, or was never made
LedgerDamaged        torn, edited or cut: a line does not follow from the one before
LedgerForeign        another schema version, or the ledger of other data
LedgerHeld           another process has it open
"""

from typing import ClassVar

from arithmetic.errors import ChorusError, SetupError


class BudgetExhausted(ChorusError):
    """The next release would pass the budget.

    Its text names the budget alone, which is the policy's, so that it may be sent to a server.

    Attributes:
        NAMED: words of every such text and of no other, for whoever reads it elsewhere.
        epsilon: what would have been spent after the release, by RDP at the budget's delta; stays here.
    """

    NAMED: ClassVar[str] = "-level budget of epsilon"

    code = "POLICY"
    shareable = True

    def __init__(self, message: str, epsilon: float) -> None:
        super().__init__(message)
        self.epsilon = epsilon


class LedgerError(SetupError):
    """A ledger that cannot be used."""


class LedgerMissing(LedgerError):
    """No ledger where one should be."""


class LedgerDamaged(LedgerError):
    """A ledger that does not parse: torn, edited, cut or changed while it was open."""


class LedgerForeign(LedgerError):
    """A ledger of other data, or of another schema version."""


class LedgerHeld(LedgerError):
    """A ledger that another process has open."""
