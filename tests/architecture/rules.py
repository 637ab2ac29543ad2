"""Our own rules, over syntax trees: what the linter has no rule for. Each gives the places that break it.

Decides: what counts as a breach, by names; a name list is crude, and that is its strength: it cannot be argued with.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = (
    "app",
    "strategies",
    "clients",
    "wire",
    "paillier",
    "secagg",
    "privacy",
    "predictions",
    "arithmetic",
)
CORE = ("secagg", "arithmetic")
# Modules of the core that may hold arrays. The others are plain Python, and stay so.
WITH_NUMPY = {
    "arithmetic/fixed_point.py", "arithmetic/layout.py", "arithmetic/packing.py", "arithmetic/residues.py",
    "secagg/encoding.py", "secagg/graph.py", "secagg/masks.py", "secagg/tails.py",
}  # fmt: skip
_GENERATORS = {"random", "secrets", "torch"}
_UNPICKLERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
_LOADERS = {("np", "load"), ("numpy", "load"), ("torch", "load"), ("yaml", "load"), ("pd", "read_pickle")}
SECRETS = {
    "private", "secret", "passphrase", "plaintext", "pseudorandom", "self_mask", "mask_key", "own_shares", "share",
    "shares", "seed_shares", "key_shares", "coefficients", "noise", "identity_key", "pem",
}  # fmt: skip
_TELLING = {"debug", "info", "warning", "error", "exception", "critical", "log", "print"}
_COMPARED = re.compile(r"(^|_)(tag|tags|digest|commitment|signature|secret|private|mac)$")


def sources(packages: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    """(path, tree) of every module."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of what a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def generators(path: str, tree: ast.Module) -> Iterator[str]:
    """In the core: any source of chance but the entropy that is passed in, and numpy where it is not expected."""
    for line, name in imports(tree):
        top = name.split(".")[0]
        if top in _GENERATORS or name.startswith("numpy.random"):
            yield f"{path}:{line} imports {name}"
        elif top == "numpy" and path not in WITH_NUMPY:
            yield f"{path}:{line} imports numpy"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("random", "urandom")
            and isinstance(node.value, ast.Name)
        ):
            yield f"{path}:{node.lineno} uses {node.value.id}.{node.attr}"


def unpicklers(path: str, tree: ast.Module) -> Iterator[str]:
    """Whatever runs what it reads."""
    for line, name in imports(tree):
        if name.split(".")[0] in _UNPICKLERS or tuple(name.split(".")) in _LOADERS:
            yield f"{path}:{line} imports {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            if (called.value.id, called.attr) in _LOADERS:
                yield f"{path}:{node.lineno} calls {called.value.id}.{called.attr}"
        elif isinstance(called, ast.Name) and called.id in ("eval", "exec"):
            yield f"{path}:{node.lineno} calls {called.id}"
        if any(word.arg == "allow_pickle" for word in node.keywords):
            yield f"{path}:{node.lineno} says allow_pickle"


def told_secrets(path: str, tree: ast.Module) -> Iterator[str]:
    """A secret, by its name, in an f-string, `format`, `repr`, `%`, a log line or an exception's text."""
    for node in ast.walk(tree):
        told: list[ast.expr] = []
        if isinstance(node, ast.FormattedValue):
            told = [node.value]
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mod)
            and isinstance(node.left, ast.Constant)
        ):
            told = [node.right] if isinstance(node.left.value, str) else []
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _TELLING or name in ("format", "repr", "str"):
                told = [*node.args, *(word.value for word in node.keywords)]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            told = [arg for arg in node.exc.args if isinstance(arg, ast.Name | ast.Attribute)]
        for each in told:
            yield from (f"{path}:{node.lineno} tells {name}" for name in _secret_names(each))


def _secret_names(node: ast.expr) -> Iterator[str]:
    """Names of secrets in an expression; how many they are is none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "type"):
        return
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    if name in SECRETS:
        yield name
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _secret_names(child)


def early_comparisons(path: str, tree: ast.Module) -> Iterator[str]:
    """`==` on something that is named a tag, digest, commitment, signature or secret: `primitives.same` does that."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            for side in (node.left, *node.comparators):
                name = side.attr if isinstance(side, ast.Attribute) else getattr(side, "id", "")
                if _COMPARED.search(name):
                    yield f"{path}:{node.lineno} compares {name} with =="
