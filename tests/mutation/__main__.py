"""The mutation score of secagg, arithmetic and wire: how many small wrongs do the tests notice?

    python -m tests.mutation --sample 300 --seed 1 --out bench/results/mutation.json

Each mutant runs in a forked process of its own: the module's text is replaced when it is imported, then its own tests
run, then the others of the core, up to the first that fails. Survivors are listed; those that change nothing that
anybody could notice are explained in docs/evidence.md.
"""

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import resource
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType

from tests.mutation.mutants import Mutant, mutants_of, mutated

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("secagg", "arithmetic", "wire")
# What must be noticed without exception: (path, function, or a prefix of it).
VITAL = {
    "share release": (("secagg/client/r4_unmasking.py", ""), ("secagg/client/r3_consistency_check.py", ""),
                      ("secagg/replies.py", "SharesRevealed.to_bytes")),
    "KDF info": (("secagg/primitives.py", "derive_key"), ("secagg/primitives.py", "digest"),
                 ("secagg/masks.py", "self_mask_seed"), ("secagg/masks.py", "pairwise_mask_seed"),
                 ("secagg/masks.py", "commit"), ("secagg/client/r1_share_keys.py", "channel_key"),
                 ("secagg/params.py", "Agreement.context"), ("secagg/params.py", "Agreement.graph_seed")),
    "associated data": (("secagg/client/r1_share_keys.py", "share_label"), ("secagg/primitives.py", "seal"),
                        ("secagg/primitives.py", "unseal"), ("secagg/tags.py", "")),
    "range checks": (("arithmetic/packing.py", "check_packed"), ("secagg/shamir.py", "parse_share"),
                     ("secagg/bounds.py", "check_whole"), ("secagg/primitives.py", "check_public_key"),
                     ("secagg/primitives.py", "check_identity"), ("secagg/encoding.py", "Reader")),
}  # fmt: skip
_CPU_SECONDS = (
    150  # five times what all tests of a package take; on a busy machine no clock says that a loop is endless
)
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


def all_mutants() -> list[Mutant]:
    """Of every module of the three packages."""
    paths = sorted(
        str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    )
    return [mutant for path in paths for mutant in mutants_of(ROOT, path)]


def vital(mutant: Mutant) -> str:
    """The area that the mutant is in, of those that allow no survivor; empty for none."""
    for area, places in VITAL.items():
        for path, function in places:
            if mutant.path == path and (not function or f"{mutant.function}.".startswith(f"{function}.")):
                return area
    return ""


def judges_of(path: str) -> list[str]:
    """The module's own tests first, then what the packages share; in the order in which they are tried."""
    package, _, rest = path.partition("/")
    folder, _, name = rest.rpartition("/")
    own = ROOT / "tests" / package / folder / f"test_{name}"
    shared = {
        "secagg": [
            "tests/secagg/test_vectors_kit.py",
            "tests/secagg",
            "tests/adversary/test_client_messages.py",
        ],
        "arithmetic": [
            "tests/arithmetic",
            "tests/secagg/test_vectors_kit.py",
            "tests/secagg/test_session.py",
        ],
        "wire": ["tests/wire", "tests/app/test_verify.py"],
    }[package]
    found = [str(own.relative_to(ROOT))] if own.exists() else []
    return found + shared


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from a tree in the place of its file."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self._path, self._tree = path, tree
        self._name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        file = ROOT / self._path
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=self, submodule_search_locations=inside
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, str(ROOT / self._path), "exec"), module.__dict__)


def outcome_of(mutant: Mutant | None, path: str = "") -> str:
    """Run the tests in a process of their own; without a mutant, those of `path`, which must all pass."""
    finder = None
    if mutant is not None:
        tree, path = mutated(ROOT, mutant), mutant.path
        compile(tree, path, "exec")  # what is no Python at all is no mutant
        finder = _Finder(path, tree)
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        status = 1
        with suppress(BaseException):
            status = _judged(finder, path)
        os._exit(status)
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests may have left behind
    if os.WIFSIGNALED(status):
        return TIMEOUT if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else KILLED
    return SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED


def _judged(finder: _Finder | None, path: str) -> int:
    """Exit status 0 when every test passed."""
    import pytest

    if finder is not None:
        sys.meta_path.insert(0, finder)
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not nightly"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for tests in judges_of(path):
            code = pytest.main([*arguments, tests])
            if code not in (0, 5):
                return 1
    return 0


def sampled(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """All that are in vital areas, and as many of the others as asked for; the vital ones first."""
    must = [mutant for mutant in mutants if vital(mutant)]
    others = [mutant for mutant in mutants if not vital(mutant)]
    chosen = random.Random(seed)
    return must + chosen.sample(others, min(size, len(others)))


def report(results: list[tuple[Mutant, str]], total: int, seed: int, seconds: float) -> dict[str, object]:
    """Scores and survivors."""

    def score(chosen: list[tuple[Mutant, str]]) -> dict[str, float]:
        killed = sum(outcome != SURVIVED for _, outcome in chosen)
        return {"mutants": len(chosen), "killed": killed, "score": round(killed / max(1, len(chosen)), 4)}

    areas = {area: score([each for each in results if vital(each[0]) == area]) for area in VITAL}
    packages = {name: score([e for e in results if e[0].path.startswith(f"{name}/")]) for name in PACKAGES}
    return {
        "mutants in all": total, "seed": seed, "seconds": round(seconds), "tried": score(results),
        "sampled outside the vital areas": score([each for each in results if not vital(each[0])]),
        "packages": packages, "vital": areas,
        "survivors": sorted(mutant.name for mutant, outcome in results if outcome == SURVIVED),
        "timeouts": sorted(mutant.name for mutant, outcome in results if outcome == TIMEOUT),
    }  # fmt: skip


def main() -> int:
    """Try mutants until all are done or time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=10**6, help="mutants outside the vital areas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=1e9, help="stop after so long; the report says how far it came"
    )
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    parser.add_argument("--part", choices=("all", "vital", "others"), default="all")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    # What every child would load again; nothing of the three packages.
    for name in (
        "pytest", "numpy", "hypothesis", "pydantic", "flwr.app", "Crypto.PublicKey.ECC", "Crypto.Protocol.DH",
        "cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography.hazmat.primitives.serialization",
    ):  # fmt: skip
        importlib.import_module(name)
    mutants = all_mutants()
    wanted = {"all": (True, False), "vital": (True,), "others": (False,)}[options.part]
    picked = [
        each for each in sampled(mutants, options.sample, options.seed)
        if options.only in each.name and bool(vital(each)) in wanted
    ]  # fmt: skip
    started, results = time.monotonic(), list[tuple[Mutant, str]]()
    for mutant in picked:
        if time.monotonic() - started > options.seconds:
            break
        results.append((mutant, outcome_of(mutant)))
        print(results[-1][1], mutant.name, flush=True)
        if options.out:
            table = report(results, len(mutants), options.seed, time.monotonic() - started)
            options.out.write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(report(results, len(mutants), options.seed, time.monotonic() - started), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
