"""The fault demonstration: grammar, and who is away when."""

import pytest

from arithmetic.errors import ConfigError, ParameterError
from clients.drops import PROTOCOL_ROUNDS, RING_STEPS, Drop, parse_drops, vanishes


def away(text: str, protocol_round: str, server_round: int, clients: int = 10) -> list[int]:
    drops = parse_drops(text)
    return [i for i in range(clients) if vanishes(drops, i, protocol_round, server_round)]


def test_the_grammar() -> None:
    assert parse_drops("") == ()
    assert parse_drops("2@r2:round3") == (Drop(2, "r2", 3),)
    assert parse_drops(" 1@r0:round1 , 3@r4:round12") == (Drop(1, "r0", 1), Drop(3, "r4", 12))


@pytest.mark.parametrize("text", ["2@r2:round3", "1@r0:round1,3@r4:round12"])
def test_reading_and_writing_are_inverse(text: str) -> None:
    assert ",".join(map(str, parse_drops(text))) == text


@pytest.mark.parametrize(
    "text",
    [
        "2@r5:round1",
        "2@hops:round1",
        "0@r2:round1",
        "-1@r2:round1",
        "2@r2:round0",
        "2@r2",
        "@r2:round1",
        "2@R2:round1",
        "2@r2:round1;",
        "2@r2:round1,",
        ",",
        "two@r2:round1",
        "2.0@r2:round1",
        "2 @r2:round1",
        "\u0662@r2:round1",
        "2@r2:round1\nx",
        "1234567@r2:round1",
        "x" * 1000,
    ],
)
def test_bad_specs_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_drops(text)
    line = str(caught.value)
    assert "\n" not in line
    assert "2@r2:round3" in line
    assert len(line) < 300


def test_the_first_clients_vanish_and_stay_away_for_the_rest_of_the_server_round() -> None:
    expected = {"r0": [], "r1": [], "r2": [0, 1], "r3": [0, 1], "r4": [0, 1]}
    assert {p: away("2@r2:round3", p, 3) for p in PROTOCOL_ROUNDS} == expected
    for other in (1, 2, 4):
        assert all(away("2@r2:round3", p, other) == [] for p in PROTOCOL_ROUNDS)


def test_specs_of_one_server_round_take_different_clients_in_the_order_written() -> None:
    text = "1@r4:round2,2@r0:round2,1@r1:round3"
    assert away(text, "r0", 2) == [1, 2]
    assert away(text, "r4", 2) == [0, 1, 2]
    assert away(text, "r0", 3) == []
    assert away(text, "r1", 3) == [0]


def test_more_drops_than_clients_takes_them_all() -> None:
    assert away("99@r1:round1", "r1", 1, clients=4) == [0, 1, 2, 3]


def test_an_unknown_protocol_round_is_an_error() -> None:
    with pytest.raises(ParameterError, match="r5"):
        vanishes(parse_drops("1@r1:round1"), 0, "r5", 1)


def test_the_rings_moments_are_its_own() -> None:
    assert {step: away("1@reveal:round1", step, 1) for step in RING_STEPS} == {
        "join": [], "reveal": [0], "hop": [0],
    }  # fmt: skip
    assert all(away("1@hop:round1", moment, 1) == [] for moment in PROTOCOL_ROUNDS)
    assert all(away("1@r1:round1", step, 1) == [] for step in RING_STEPS)
