import math
import tracemalloc

import numpy as np
import pytest

from deeplab.errors import DataError, SettingsError
from deeplab.metrics import Interval, interval, miou, paired_difference


def share(counts):
    return float(counts[0] / counts[1])


def hits(images, rate, seed=0):
    """Right or wrong, image by image, as counts (images, 2)."""
    right = np.random.default_rng(seed).random(images) < rate
    return np.stack([right, np.ones(images)], axis=1).astype(np.int64)


def matrices(images, seed=0):
    return np.random.default_rng(seed).integers(0, 1000, (images, 3, 3))


def test_the_interval_of_a_share_is_the_binomial_one():
    counts = hits(400, 0.3)
    found = interval(counts, share, samples=4000)
    rate = counts[:, 0].mean()
    reach = 1.96 * math.sqrt(rate * (1 - rate) / 400)
    assert found.value == rate
    # 4000 samples place a 2.5 % quantile to 0.04 standard deviations, and shares are multiples of 1 / 400
    assert found.low == pytest.approx(rate - reach, abs=0.1 * reach)
    assert found.high == pytest.approx(rate + reach, abs=0.1 * reach)


def test_a_lower_confidence_is_a_narrower_interval():
    counts = hits(400, 0.3)
    wide, narrow = (interval(counts, share, confidence=confidence) for confidence in (0.95, 0.68))
    deviation = math.sqrt(wide.value * (1 - wide.value) / 400)
    assert narrow.high - narrow.low == pytest.approx(2 * deviation, rel=0.15)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_system_does_not_differ_from_itself():
    assert paired_difference(hits(50, 0.5), hits(50, 0.5), share) == Interval(0, 0, 0)


def test_the_difference_is_that_of_the_two_figures():
    first, second = hits(50, 0.4), hits(50, 0.6, seed=1)
    found = paired_difference(first, second, share)
    assert found.value == share(second.sum(axis=0)) - share(first.sum(axis=0))
    assert found.low < found.value < found.high


def test_pairs_are_drawn_together():
    easy = np.random.default_rng(1).integers(100, 900, 60)  # images differ much, the systems little
    first = np.stack([easy, np.full(60, 1000)], axis=1)
    second = np.add(first, [10, 0])
    found = paired_difference(first, second, share)
    np.testing.assert_allclose(found, 0.01)
    assert interval(first, share).high - interval(first, share).low > 0.05


def test_the_seed_decides():
    counts = matrices(30)
    assert interval(counts, miou, seed=1) == interval(counts, miou, seed=1)
    assert interval(counts, miou, seed=1) != interval(counts, miou, seed=2)


def test_a_class_in_a_single_image_may_be_absent_from_a_sample():
    counts = np.zeros((5, 2, 2), np.int64)
    counts[:, 0, 0] = 10
    counts[0, 1] = 10, 0  # class 1, all of it missed
    found = interval(counts, miou)
    assert found.value == pytest.approx((50 / 60) / 2)
    assert found.high == 1


def test_samples_without_anything_to_measure_are_left_out():
    counts = np.zeros((3, 2, 2), np.int64)
    counts[0, 0, 0] = 4
    assert interval(counts, miou) == Interval(1, 1, 1)
    nothing = interval(np.zeros((3, 2, 2), np.int64), miou)
    assert all(math.isnan(figure) for figure in nothing)


def test_one_image_says_nothing_of_others():
    value, low, high = interval(matrices(1), miou)
    assert value == miou(matrices(1)[0])
    assert math.isnan(low)
    assert math.isnan(high)


def test_counts_of_many_pixels_stay_whole():
    counts = np.array([[2**40 + 1, 2**40]] * 4)
    assert interval(counts, lambda total: float(total[0] - total[1])) == Interval(4, 4, 4)


def test_two_images_have_an_interval():
    found = interval(np.array([[0, 1], [1, 1]]), share)
    assert (found.low, found.high) == (0, 1)  # of samples with one of them only


def test_parts_of_the_samples_at_a_time_change_nothing(monkeypatch):
    counts = matrices(20)
    whole = interval(counts, miou, samples=100)
    monkeypatch.setattr("deeplab.metrics.bootstrap.AT_A_TIME", 70)
    assert interval(counts, miou, samples=100) == whole


def test_the_memory_of_the_samples_does_not_grow_with_the_images(monkeypatch):
    monkeypatch.setattr("deeplab.metrics.bootstrap.AT_A_TIME", 2**16)  # 512 KiB
    counts = hits(4000, 0.5)
    tracemalloc.start()
    interval(counts, share, samples=500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**21  # all weights at once are 16 MB


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="no images"):
        interval(matrices(0), miou)
    with pytest.raises(DataError, match="the same images"):
        paired_difference(matrices(3), matrices(4), miou)
    for confidence in (0, 1, 95):
        with pytest.raises(SettingsError, match="between 0 and 1"):
            interval(matrices(3), miou, confidence=confidence)


def test_an_interval_in_words_has_its_ends_and_those_of_a_difference_their_signs():
    assert str(Interval(0.5, 0.25, 0.75)) == "0.5000 (0.2500 .. 0.7500)"
    assert Interval(0.5, -0.25, 0.75).ends(signed=True) == "-0.2500 .. +0.7500"
    assert Interval(0.5, math.nan, math.nan).ends() == "-"
