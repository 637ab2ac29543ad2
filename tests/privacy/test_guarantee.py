"""The sentence: every word is there, no number is rounded down."""

import dataclasses
import math

import pytest

from arithmetic.errors import ParameterError
from privacy.guarantee import NO_PRIVACY, Guarantee, guarantee_of, sentences
from privacy.mechanisms import GaussianRelease, PoissonGaussian

LOCAL = guarantee_of(
    [PoissonGaussian(0.01, 4.0, 10_000)],
    1e-5,
    released="steps of DP-SGD",
    colluders=None,
    integer_noise=False,
)
CLIENT = guarantee_of(
    [GaussianRelease(4.0, 100)], 1e-5, released="noisy sums of updates", colluders=2, integer_noise=True
)


def test_every_word_of_a_local_guarantee() -> None:
    assert LOCAL.sentence == (
        "example-level differential privacy with epsilon 0.9470 by PLD (1.0355 by RDP) at delta 1e-05 under "
        "add/remove-one example, against everyone, even all others together, for 10000 steps of DP-SGD with "
        "floating-point (not hardened against precision attacks) noise, amplified by Poisson sampling at "
        "probability 0.01, each client's number of examples being public; accountant: composition of all events by "
        "RDP and by PLD (dp-accounting; exact where nothing was sampled)"
    )


def test_every_word_of_a_client_guarantee() -> None:
    assert CLIENT.sentence == (
        "client-level differential privacy with epsilon 13.2068 by PLD (14.1323 by RDP) at delta 1e-05 under "
        "add/remove-one client, against the server, as long as it keeps to the protocol, and up to 2 colluding "
        "clients, for 100 noisy sums of updates with integer noise, without amplification by sampling; accountant: "
        "composition of all events by RDP and by PLD (dp-accounting; exact where nothing was sampled)"
    )


@pytest.mark.parametrize(
    ("colluders", "words"),
    [
        (None, "against everyone, even all others together, for"),
        (0, "against the server, as long as it keeps to the protocol, for"),
        (1, "against the server, as long as it keeps to the protocol, and up to 1 colluding client, for"),
    ],
)
def test_the_adversary_is_named(colluders: int | None, words: str) -> None:
    assert words in dataclasses.replace(CLIENT, colluders=colluders).sentence


def test_only_one_sum_is_one_sum() -> None:
    assert "for 1 noisy sum of updates with" in dataclasses.replace(CLIENT, releases=1).sentence
    assert "for 2 noisy sums of updates with" in dataclasses.replace(CLIENT, releases=2).sentence


def test_counts_are_said_to_be_public_where_an_example_is_hidden() -> None:
    """The number of steps and the sampling probability follow from a client's number of examples."""
    words = ", each client's number of examples being public; accountant"
    assert words in LOCAL.sentence
    assert words in dataclasses.replace(CLIENT, unit="example").sentence
    assert "public" not in CLIENT.sentence


def test_epsilons_are_rounded_up() -> None:
    shown = dataclasses.replace(CLIENT, pld_epsilon=1.00001, rdp_epsilon=2.0)
    assert "epsilon 1.0001 by PLD (2.0000 by RDP)" in shown.sentence
    assert "epsilon infinity by PLD" in dataclasses.replace(CLIENT, pld_epsilon=math.inf).sentence


def test_several_sampling_probabilities_are_said() -> None:
    both = [PoissonGaussian(0.01, 4.0, 10), PoissonGaussian(0.02, 4.0, 10)]
    sentence = guarantee_of(both, 1e-5, released="steps", colluders=None, integer_noise=False).sentence
    assert "for 20 steps" in sentence
    assert "probabilities 0.01 to 0.02" in sentence


def test_two_guarantees_are_two_sentences_and_none_is_said() -> None:
    assert sentences([LOCAL, CLIENT]) == (LOCAL.sentence, CLIENT.sentence)
    assert sentences([]) == (NO_PRIVACY,) == ("no differential privacy",)


def test_mechanisms_of_two_units_never_make_one_guarantee() -> None:
    with pytest.raises(ParameterError, match="never merge"):
        guarantee_of(
            [PoissonGaussian(0.1, 1.0, 1), GaussianRelease(1.0, 1)],
            1e-5,
            released="sums",
            colluders=0,
            integer_noise=True,
        )


def test_nothing_released_is_no_guarantee() -> None:
    with pytest.raises(ParameterError, match="no differential privacy"):
        guarantee_of([], 1e-5, released="sums", colluders=0, integer_noise=True)


@pytest.mark.parametrize(
    "change",
    [
        {"delta": math.nan},
        {"delta": 1.0},
        {"pld_epsilon": math.nan},
        {"rdp_epsilon": -1.0},
        {"colluders": -1},
    ],
)
def test_numbers_that_are_none_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        dataclasses.replace(CLIENT, **change)  # type: ignore[arg-type]


def test_a_guarantee_is_frozen() -> None:
    assert isinstance(CLIENT, Guarantee)
    with pytest.raises(dataclasses.FrozenInstanceError):
        CLIENT.delta = 1.0  # type: ignore[misc]
