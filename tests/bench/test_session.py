"""`bench/session.py`: bytes by their definition, and a wrong sum ends the run."""

from typing import Any

import pytest

import bench.session
from arithmetic.packing import packed_size
from bench.session import Client, Server, run_session
from secagg.params import SecAggParams

PARAMS = SecAggParams.complete(6, 13, 1001, 8)


def test_bytes_of_a_client_are_those_of_the_messages() -> None:
    """docs/protocol.md, by hand: a session is 80 bytes, a neighbour's shares 118, its keys 68."""
    account = run_session(PARAMS, 0.0)
    vector = packed_size(1001, 13) + 8 * 8
    assert account.up == {"r0": 67, "r1": 38 + 5 * 118, "r2": 2 + vector, "r4": 71 + 6 * 38}
    announced = 2 + 80 + 4 + 32 + 4 + 6 * 68
    assert account.down == {"r0": 82, "r1": announced, "r2": 43 + 5 * 118, "r4": 43}


def test_both_sides_are_charged_and_the_unmasking_can_be_repeated() -> None:
    server = Server(PARAMS, repeat=(1, 2))
    account = run_session(PARAMS, 0.17, server)
    assert account.server is server.spent
    assert min(account.server.wall, account.client.wall, account.server.core, account.client.core) > 0
    assert set(server.unmasking) == {1, 2}
    assert all(spent.wall > 0 for spent in server.unmasking.values())


@pytest.mark.parametrize("wrong", ["tensor", "scalars"])
def test_a_wrong_sum_ends_the_run(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = bench.session._ones

    def one_off(params: SecAggParams) -> Any:
        vector = right(params)
        getattr(vector, wrong)[-1] += 1
        return vector

    monkeypatch.setattr(bench.session, "_ones", one_off)
    with pytest.raises(SystemExit, match="the sum is wrong"):
        run_session(PARAMS, 0.0, client=Client)
