"""What clients have used of their quotas, kept over a restart.

Decides: that each sharing has an account of its own. Refuses to know: limits, and where files lie.
"""

import json
from dataclasses import dataclass

from predictions.errors import FrameRejected
from predictions.limits import Account
from predictions.sharing import Keeper


@dataclass(frozen=True)
class KeptAccount:
    """The account of one sharing; `name` is the file's."""

    keeper: Keeper
    name: str

    def load(self) -> Account:
        """Examples used, by client; empty for a new sharing.

        Raises:
            FrameRejected: the file is none.
        """
        kept = self.keeper.read(self.name)
        try:
            return {str(name): int(used) for name, used in json.loads(kept or b"{}").items()}
        except (ValueError, AttributeError, TypeError):
            raise FrameRejected(f"{self.name} holds no account of quotas; share the model anew") from None

    def save(self, account: Account) -> None:
        """Keep it."""
        self.keeper.write(self.name, json.dumps(account).encode())


def kept_account(keeper: Keeper, sharing: str) -> KeptAccount:
    """The account of a sharing."""
    return KeptAccount(keeper, f"used-{sharing}.json")
