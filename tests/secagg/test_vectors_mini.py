"""Two implementations that share no code give the same bytes in every honest session of the kit."""

import ast
from pathlib import Path

import pytest

from tests.support.mini_secagg import Mini
from tests.vectors.replay import KIT, REFUSED, Tables, load

ROUNDS = ("r0", "r1", "r2", "r3", "r4")
# A session that goes on with the keys of another comes after it.
CHAINS = (
    ("curious-complete", "curious-next"),
    ("curious-sparse",),
    ("active-complete",),
    ("active-again", "active-ahead"),
    ("active-sparse",),
)
MINI = Path(__file__).resolve().parent.parent / "support" / "mini_secagg.py"


def entropy_of(tables: Tables) -> dict[tuple[str, int], bytes]:
    return {
        (name, int(client)): bytes.fromhex(each["entropy"])
        for name in ROUNDS
        if name in tables
        for client, each in tables[name]["clients"].items()
    }


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[-1])
def test_the_mini_implementation_agrees_byte_for_byte(chain: tuple[str, ...]) -> None:
    carried: dict[int, list[bytes]] = {}
    for session in chain:
        tables = load(session)
        mini = Mini(tables["session"], entropy_of(tables), carried)
        mini.run()
        replies = {
            (name, int(client)): (each["request"], each["reply"])
            for name in ROUNDS
            if name in tables
            for client, each in tables[name]["clients"].items()
        }
        assert set(mini.said) == set(replies)
        for key, (request, reply) in replies.items():
            assert mini.asked[key].hex() == request, key
            assert mini.said[key].hex() == reply, key
        due = tables["sum"]
        assert mini.survivors == due["survivors"]
        assert mini.total == [due["tensor"], due["scalars"]]
        carried |= mini.next_private


def test_every_session_of_the_kit_is_compared() -> None:
    assert {name for chain in CHAINS for name in chain} == {path.name for path in KIT.iterdir()} - {REFUSED}


def test_the_mini_implementation_is_small_and_shares_no_code_with_the_product() -> None:
    text = MINI.read_text()
    assert len(text.splitlines()) <= 400
    tree = ast.parse(text)
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"hashlib", "hmac", "collections", "dataclasses", "typing", "Crypto"}
