"""Gaussian noise: its law, told from 2/3 and 3/2 of its scale; fresh in every process; no seed."""

import inspect
import os

import numpy as np
import pytest
import torch
from scipy import stats

from clients import gaussian
from clients.gaussian import GaussianNoise


def test_a_kolmogorov_test_accepts_the_scale_and_rejects_two_thirds_and_three_halves() -> None:
    values = GaussianNoise().draw(200_000, 3.0).numpy().astype(np.float64)
    assert stats.kstest(values, stats.norm(scale=3.0).cdf).pvalue > 1e-6
    for factor in (2 / 3, 3 / 2):
        assert stats.kstest(values, stats.norm(scale=3.0 * factor).cdf).pvalue < 1e-100


def test_moments_and_independence_of_neighbours_and_of_the_two_halves() -> None:
    """Half of the values are cosines, half sines of the same radii: no correlation, not of squares either."""
    values = GaussianNoise().draw(1 << 17, 1.0).numpy().astype(np.float64)
    limit = 5 / np.sqrt(len(values) / 2)
    assert abs(values.mean()) < limit
    assert abs(values.var() - 1) < 2 * limit
    assert abs((values**4).mean() - 3) < 20 * limit
    half = len(values) // 2
    for one, two in ((values[:-1], values[1:]), (values[:half], values[half:])):
        assert abs(np.mean(one * two)) < limit
        assert abs(np.mean((one**2 - 1) * (two**2 - 1))) < 3 * limit


@pytest.mark.parametrize(
    "count", [0, 1, 2, 3, 2 * gaussian._PAIRS, 2 * gaussian._PAIRS + 1, 3 * gaussian._PAIRS]
)
def test_every_length_is_filled(count: int) -> None:
    values = GaussianNoise().draw(count, 1.0)
    assert values.shape == (count,)
    assert values.dtype is torch.float32
    assert torch.isfinite(values).all()
    assert len(values.unique()) >= 0.98 * count


def test_the_extreme_words_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """All zeros is the largest radius, all ones the smallest: 8.57 and 0."""
    for word, radius in ((b"\x00", 8.5717), (b"\xff", 0.0)):

        class Fixed:
            def __init__(self, key: bytes, word: bytes = word) -> None:
                self.word = word

            def read(self, size: int) -> bytes:
                return self.word * size

        monkeypatch.setattr(gaussian, "KeyStream", Fixed)
        assert float(torch.linalg.vector_norm(GaussianNoise().draw(2, 1.0))) == pytest.approx(
            radius, abs=1e-3
        )


def test_forked_workers_draw_different_noise() -> None:
    """From one object made before the fork."""
    noise, seen = GaussianNoise(), set()
    for _ in range(3):
        reader, writer = os.pipe()
        if not (child := os.fork()):
            torch.set_num_threads(1)
            os.write(writer, noise.draw(16, 1.0).numpy().tobytes())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            seen.add(stream.read())
        os.waitpid(child, 0)
    assert len(seen | {noise.draw(16, 1.0).numpy().tobytes()}) == 4
    assert all(len(drawn) == 64 for drawn in seen)


def test_no_seed_reaches_it() -> None:
    assert list(inspect.signature(GaussianNoise).parameters) == []
    drawn = []
    for _ in range(2):
        torch.manual_seed(1)
        np.random.seed(1)
        drawn.append(GaussianNoise().draw(4, 1.0))
    assert not torch.equal(drawn[0], drawn[1])


def test_its_text_holds_no_key() -> None:
    assert repr(GaussianNoise()) == "GaussianNoise(<secret>)"
