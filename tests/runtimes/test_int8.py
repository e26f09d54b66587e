"""8-bit numbers: which ones stand for which values, and what they are made from."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab import runtimes
from deeplab.errors import SettingsError
from deeplab.runtimes._int8 import closest_range, trained_steps


def error(values, low, high):
    """The mean square of what 8-bit numbers of a range lose."""
    step = (high - low) / 255
    return np.mean((np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step)) * step - values) ** 2)


@pytest.mark.parametrize("least", [-np.inf, 0])
def test_the_range_is_narrower_than_the_values_where_that_loses_less(least):
    values = np.random.default_rng(0).laplace(size=1_000_000).astype(np.float32).clip(least)
    low, high = closest_range(values)
    assert low == 0 if least == 0 else 0.8 * values.min() < low < 0.6 * values.min()
    assert 0.6 * values.max() < high < 0.8 * values.max()
    chosen = error(values, low, high)
    assert chosen < 0.7 * error(values, min(0, values.min()), values.max())
    assert all(chosen < 1.05 * error(values, low * share, high * share) for share in (0.8, 0.9, 1.1, 1.2))


def test_values_that_are_all_alike_far_from_zero_keep_their_range():
    values = np.random.default_rng(0).uniform(-2, 3, 100_000).astype(np.float32)
    np.testing.assert_allclose(closest_range(values), (-2, 3), atol=0.05)
    assert closest_range(-values[values > 0])[1] == 0
    assert closest_range(np.full(10, 7, np.float32)) == (0, 7)
    assert closest_range(np.zeros(10, np.float32)) == (0, 0)


@pytest.mark.parametrize("zero_point", [128, 100])
def test_the_steps_of_filters_of_8_bits_are_found_however_they_were_folded(zero_point):
    numbers = np.random.default_rng(0).integers(0, 256, (40, 8, 3, 3)) - zero_point
    numbers[:8] = numbers[:8].clip(-127, 127)
    factors = 1 + np.random.default_rng(1).uniform(-1e-6, 1e-6, (40, 1, 1, 1))
    filters = (numbers * 0.0123 * factors).astype(np.float32)
    steps = trained_steps(filters)
    np.testing.assert_allclose(steps[:8], 0.0123, rtol=1e-5)
    np.testing.assert_allclose(steps, 0.0123 * np.maximum(np.abs(numbers).max(axis=(1, 2, 3)) / 127, 1), rtol=1e-5)


def test_filters_of_more_bits_have_no_steps():
    generator = np.random.default_rng(0)
    for shape in ((40, 8, 3, 3), (32, 1, 3, 3), (3, 4, 1, 1)):
        assert trained_steps(generator.normal(size=shape).astype(np.float32)) is None
    nine_bits = np.arange(-150, 150).reshape(30, 10, 1, 1) * 0.0123
    assert trained_steps(nine_bits.astype(np.float32)) is None
    assert trained_steps(np.zeros((4, 4, 1, 1), np.float32)) is None
    assert trained_steps(np.float32([[1.0], [1.37], [-0.2]])) is None
    assert trained_steps(np.arange(-200, 200, dtype=np.float32).reshape(40, 10, 1, 1)) is None


def test_one_image_is_too_few(make_image):
    with pytest.raises(SettingsError, match="calibration has 1 image; int8 wants at least 8"):
        runtimes.Int8([make_image(8, 8)[np.newaxis]])
