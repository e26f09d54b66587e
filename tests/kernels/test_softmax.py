import numpy as np
import pytest

from deeplab.kernels import _numba
from deeplab.kernels.softmax import softmax

needs_numba = pytest.mark.skipif(not _numba.COMPILES, reason="numba is not installed")


@pytest.fixture(params=[pytest.param("numba", marks=needs_numba), "numpy"], autouse=True)
def version(request, monkeypatch):
    monkeypatch.setattr(_numba, "COMPILES", request.param == "numba")


@pytest.mark.parametrize("num_classes, columns", [(1, 8), (5, 8), (21, 24), (8, 8)])
def test_it_is_the_softmax_of_the_columns_that_count(num_classes, columns):
    scores = np.random.default_rng(0).normal(scale=10, size=(300, columns)).astype(np.float32)
    scores[:, num_classes:] = -1e30
    result = np.empty_like(scores)
    softmax(scores, result)
    exact = np.exp(scores[:, :num_classes].astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result[:, :num_classes], exact, rtol=4e-6, atol=1e-26)  # float32 has 40 to 2e-6
    assert not result[:, num_classes:].any()


def test_in_place_and_for_far_scores():
    scores = np.full((3, 8), -1e30, np.float32)
    scores[0, :3] = 1e4, -1e4, 0
    scores[1, :3] = -500, -500, -570
    scores[2, :2] = -1e30, -1e30
    softmax(scores, scores)
    np.testing.assert_array_equal(scores[:2, :3], [[1, 0, 0], [0.5, 0.5, 0]])
    np.testing.assert_array_equal(scores[2], 1 / 8)
