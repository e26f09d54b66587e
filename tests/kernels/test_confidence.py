import numpy as np
import pytest

from deeplab.kernels import _numba
from deeplab.kernels._cells import those_above
from deeplab.kernels.confidence import NEGLIGIBLE, sample_confidence
from deeplab.kernels.upsample_argmax import sample_argmax

needs_numba = pytest.mark.skipif(not _numba.COMPILES, reason="numba is not installed")


@pytest.fixture(params=[pytest.param("numba", marks=needs_numba), "numpy"])
def version(request, monkeypatch):
    monkeypatch.setattr(_numba, "COMPILES", request.param == "numba")


def grid(logits, height, width):
    """Points all over the logits, some of them beyond the edges."""
    return np.linspace(-0.6, logits.shape[1] - 0.4, height), np.linspace(-0.6, logits.shape[2] - 0.4, width)


def softmax_at(logits, rows, columns):
    """float64 (C, H, W), point by point by the definition."""
    found = np.empty((len(logits), len(rows), len(columns)))
    for i, y in enumerate(np.clip(rows, 0, logits.shape[1] - 1)):
        for j, x in enumerate(np.clip(columns, 0, logits.shape[2] - 1)):
            t, l = int(y), int(x)  # noqa: E741
            b, r = min(t + 1, logits.shape[1] - 1), min(l + 1, logits.shape[2] - 1)
            corners = logits[:, [t, t, b, b], [l, r, l, r]].astype(np.float64)
            f, g = y - t, x - l
            value = corners @ [(1 - f) * (1 - g), (1 - f) * g, f * (1 - g), f * g]
            shares = np.exp(value - value.max())
            found[:, i, j] = shares / shares.sum()
    return found


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("scale", [0.5, 5, 60], ids=["unsure", "sure", "very sure"])
@pytest.mark.parametrize("shape", [(21, 6, 7), (2, 5, 4), (150, 3, 3), (1, 2, 2), (5, 1, 1), (5, 1, 6)])
def test_it_is_the_softmax_of_the_winner_and_its_lead(shape, scale):
    logits = (np.random.default_rng(0).normal(size=shape) * scale).astype(np.float32)
    rows, columns = grid(logits, 23, 31)
    shares = softmax_at(logits, rows, columns)
    ordered = np.sort(shares, axis=0)
    probability, margin = sample_confidence(logits, rows, columns)
    assert probability.dtype == margin.dtype == np.float32
    np.testing.assert_allclose(
        probability, ordered[-1], rtol=2e-5
    )  # float32 logits of up to 200 before the exponential
    lead = ordered[-1] - (ordered[-2] if len(ordered) > 1 else 0)
    np.testing.assert_allclose(margin, lead, atol=3e-5)
    labels = sample_argmax(logits, rows, columns)
    chosen = np.take_along_axis(shares, labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, probability, rtol=3e-5)


@pytest.mark.usefixtures("version")
def test_classes_that_are_alike_share():
    probability, margin = sample_confidence(np.zeros((4, 3, 3), np.float32), *grid(np.zeros((4, 3, 3)), 9, 9))
    np.testing.assert_array_equal(probability, 0.25)
    np.testing.assert_array_equal(margin, 0)


@pytest.mark.usefixtures("version")
def test_a_class_far_below_at_one_corner_counts_where_it_is_not():
    logits = np.array([[[0, 0]], [[-200, -0.5]]], np.float32)
    probability, _ = sample_confidence(logits, np.array([0.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(probability, [[1, 1 / (1 + np.exp(-0.5))]], rtol=1e-6)


@pytest.mark.usefixtures("version")
def test_no_points_give_empty_maps():
    probability, margin = sample_confidence(np.zeros((2, 3, 3), np.float32), np.empty(0), np.array([1.0]))
    assert probability.shape == margin.shape == (0, 1)


def test_only_classes_that_can_come_near_the_winner_count():
    corners = [[5, 4, 6, 7], [0, 0, 0, 0], [-22, -30, -30, -30], [-21, -30, -30, -30], [-90, -90, -90, -90]]
    counting = np.empty(5, np.intp)
    pixels = np.array(corners, np.float32).T.reshape(2, 2, 5).copy()
    count = those_above(counting, NEGLIGIBLE, pixels, 0, 1, 0, 1)
    assert counting[:count].tolist() == [0, 1, 3]  # the winner is at 4 or above, and 25 below that is nothing
    count = those_above(counting, np.float32(0), pixels, 0, 1, 0, 1)
    assert counting[:count].tolist() == [0]
