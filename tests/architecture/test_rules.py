"""Our own rules hold in the tree, and each finds what it is there for."""

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.rules import (
    CORE,
    SHIPPED,
    WITH_NUMPY,
    early_comparisons,
    generators,
    imports,
    sources,
    told_secrets,
    unpicklers,
)

Rule = Callable[[str, ast.Module], Iterator[str]]
# A message's tag is the byte that names its kind, public and no secret.
PUBLIC_TAGS = {"secagg/encoding.py"}


def breaches(rule: Rule, packages: tuple[str, ...]) -> list[str]:
    return [breach for path, tree in sources(packages) for breach in rule(path, tree)]


def test_the_core_draws_no_chance_of_its_own_and_keeps_arrays_where_they_are() -> None:
    assert breaches(generators, CORE) == []


def test_the_list_of_modules_with_numpy_is_the_true_one() -> None:
    using = {
        path for path, tree in sources(CORE) if any(name.startswith("numpy") for _, name in imports(tree))
    }
    assert using == WITH_NUMPY


def test_nothing_that_is_shipped_unpickles_or_evaluates() -> None:
    assert breaches(unpicklers, SHIPPED) == []


def test_no_secret_is_told_by_the_core_or_what_carries_its_messages() -> None:
    assert breaches(told_secrets, (*CORE, "wire")) == []


def test_tags_digests_and_signatures_are_compared_in_constant_time() -> None:
    found = [
        breach
        for breach in breaches(early_comparisons, ("secagg",))
        if breach.split(":")[0] not in PUBLIC_TAGS
    ]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (generators, "import random"),
        (generators, "from random import choice"),
        (generators, "import torch"),
        (generators, "import secrets"),
        (generators, "from numpy.random import default_rng"),
        (generators, "import numpy as np"),
        (generators, "def f(np):\n    return np.random.default_rng(0)"),
        (generators, "import os\nx = os.urandom(32)"),
        (unpicklers, "import pickle"),
        (unpicklers, "from pickle import loads"),
        (unpicklers, "from torch import load"),
        (unpicklers, "def f(np, d):\n    return np.load(d)"),
        (unpicklers, "def f(torch, d):\n    return torch.load(d, weights_only=True)"),
        (unpicklers, "def f(d):\n    return eval(d)"),
        (unpicklers, "def f(g, d):\n    return g(d, allow_pickle=True)"),
        (told_secrets, "def f(private):\n    return f'key {private}'"),
        (told_secrets, "def f(pair):\n    return f'{pair.private.hex()}'"),
        (told_secrets, "def f(log, secret):\n    log.info('found', secret)"),
        (told_secrets, "def f(share):\n    return 'share %s' % share"),
        (told_secrets, "def f(share):\n    return 'share {}'.format(share)"),
        (told_secrets, "def f(passphrase):\n    raise ValueError(passphrase)"),
        (told_secrets, "def f(plaintext):\n    return repr(plaintext)"),
        (early_comparisons, "def f(tag, other):\n    return tag == other"),
        (early_comparisons, "def f(a, b):\n    return a.signature != b"),
        (early_comparisons, "def f(a, share_tag):\n    return a == share_tag"),
    ],
)
def test_each_rule_finds_what_it_forbids(rule: Rule, text: str) -> None:
    assert list(rule("secagg/made_up.py", ast.parse(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (generators, "import hashlib\ndef f(entropy):\n    return entropy(32)"),
        (unpicklers, "import json\ndef f(d):\n    return json.loads(d)"),
        (told_secrets, "def f(shares, peer):\n    return f'{len(shares)} of {peer}'"),
        (early_comparisons, "def f(same, tag, other, kind):\n    return same(tag, other) and kind == 1"),
    ],
)
def test_each_rule_lets_pass_what_is_well(rule: Rule, text: str) -> None:
    assert not list(rule("secagg/made_up.py", ast.parse(text)))
