"""A run against an active server in this process: identities and a roster in a folder, then a `Trial`."""

from pathlib import Path
from typing import Any

from app.simulated_roster import lay_identities
from clients.identity import load_key
from secagg.primitives import SigningKey
from tests.support.run import Trial


def active_trial(run_dir: Path, overrides: dict[str, Any] | None = None, clients: int = 5) -> Trial:
    """`Trial` with every client's identity laid into `run_dir`."""
    named = {"adversary": "active", "run-dir": str(run_dir)} | lay_identities(run_dir, clients)
    return Trial({"clients": clients} | named | (overrides or {}))


def sparse_trial(run_dir: Path) -> Trial:
    """Twelve clients of four neighbours each; three shares rebuild a secret, seven clients are the least in a sum."""
    return active_trial(run_dir, {"neighbours": 4, "threshold": 3, "min-cohort": 7}, clients=12)


def identity_of(run_dir: Path, number: int) -> SigningKey:
    """The identity key of a roster member, by its number from 1."""
    return load_key(run_dir / "identities" / f"{number - 1}.pem")
