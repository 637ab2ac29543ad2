"""Small wrongs in a module's syntax tree: one mutant is one of them.

Decides: which wrongs there are. Left alone is what no test should look at: docstrings, annotations, the text of errors,
sizes of caches.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}  # fmt: skip
_ERRORS = ("Error", "Malformed", "Suspect", "OutOfTurn", "Refused", "NotAuthentic", "CohortTooSmall", "Misbehaviour",
           "Unrecoverable", "Bad", "VersionSkew", "Unusable")  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One wrong.

    Attributes:
        path: of the module, from the root of the repository.
        number: its place among the module's mutants.
        line: where.
        function: in which function or class, dotted; empty at the top of the module.
        what: what was done.
    """

    path: str
    number: int
    line: int
    function: str
    what: str

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.path}:{self.line} {self.function} {self.what}"


def mutants_of(root: Path, path: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text."""
    tree = ast.parse((root / path).read_text())
    return [
        Mutant(path, number, node.lineno, function, what)
        for number, (node, function, what, _) in enumerate(_wrongs(tree))
    ]


def mutated(root: Path, mutant: Mutant) -> ast.Module:
    """The module with one thing wrong."""
    tree = ast.parse((root / mutant.path).read_text())
    node, _, _, change = list(_wrongs(tree))[mutant.number]
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    _put(parents[node], node, change)
    return ast.fix_missing_locations(tree)


def _put(parent: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for name, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, name, new)
        elif isinstance(value, list) and any(each is old for each in value):
            setattr(parent, name, [new if each is old else each for each in value])


def _wrongs(tree: ast.Module) -> Iterator[tuple[Any, str, str, ast.AST]]:
    """(node, function, what, what stands in its place)."""
    for node, function in _visited(tree, ""):
        for what, change in _of(node):
            yield node, function, what, ast.copy_location(change, node)


def _visited(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str]]:
    """Everything that is worth changing."""
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}".lstrip(".")
            for statement in child.body:
                yield from _statement(statement, inside)
            if isinstance(child, ast.FunctionDef):
                for default in [*child.args.defaults, *filter(None, child.args.kw_defaults)]:
                    yield from _statement(default, inside)
            continue
        yield from _statement(child, inside)


def _statement(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        wrapper = ast.Module(body=[node], type_ignores=[])
        yield from _visited(wrapper, function)
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
        return
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _is_error(node.func)):
        yield node, function
        return
    if isinstance(node, ast.AnnAssign):
        if node.value is not None:
            yield from _statement(node.value, function)
        return
    yield node, function
    for child in ast.iter_child_nodes(node):
        if not (_is_reader(node) and isinstance(child, ast.Constant) and isinstance(child.value, str)):
            yield from _statement(child, function)


def _is_reader(node: ast.AST) -> bool:
    """A reader's one text is what it calls the message in its errors."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reader"


def _is_error(callee: ast.expr) -> bool:
    return isinstance(callee, ast.Name) and any(part in callee.id for part in _ERRORS)


def _of(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be done to a node."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            changed = copy.copy(node)
            changed.ops = [*node.ops]
            changed.ops[at] = _COMPARISONS[type(operator)]()
            yield f"{type(operator).__name__} to {type(changed.ops[at]).__name__}", changed
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        other = _OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} to {other.__name__}", ast.BinOp(node.left, other(), node.right)
    elif isinstance(node, ast.BoolOp):
        flipped: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{type(node.op).__name__} to {type(flipped).__name__}", ast.BoolOp(flipped, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"without {type(node.op).__name__}", node.operand
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    else:
        yield from _of_statement(node)


def _of_statement(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        changed_test = copy.copy(node)
        changed_test.test = ast.UnaryOp(ast.Not(), node.test)
        yield "the condition turned round", changed_test
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield "left out", ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "None returned", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
        other = _OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} to {other.__name__}", ast.AugAssign(node.target, other(), node.value)


def _of_constant(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    if isinstance(value, bool):
        yield f"{value} to {not value}", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield f"{value} to {value + 1}", ast.Constant(value + 1)
    elif isinstance(value, str):
        yield f"{value[:20]!r} to another text", ast.Constant("x" + value)
    elif isinstance(value, bytes):
        yield f"{value[:20]!r} to other bytes", ast.Constant(b"x" + value)
