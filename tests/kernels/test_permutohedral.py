import numpy as np
import pytest

from deeplab.kernels import _numba
from deeplab.kernels._workers import Workers
from deeplab.kernels.lattice_building import build_lattice, embed, key_steps

needs_numba = pytest.mark.skipif(not _numba.COMPILES, reason="numba is not installed")


@pytest.fixture(params=[pytest.param("numba", marks=needs_numba), "numpy"])
def version(request, monkeypatch):
    monkeypatch.setattr(_numba, "COMPILES", request.param == "numba")
    return request.param


def random_features(points, d, spread=3.0, seed=0):
    return (np.random.default_rng(seed).random((points, d)) * spread).astype(np.float32)


def random_values(points, channels, seed=1):
    return np.random.default_rng(seed).normal(size=(points, channels)).astype(np.float32)


def exact(features, values):
    """The sum over all pairs, in float64."""
    distance = ((features[:, None].astype(np.float64) - features[None]) ** 2).sum(axis=-1)
    return np.exp(-distance / 2) @ values.astype(np.float64)


@pytest.mark.parametrize("d, off", [(1, 0.03), (2, 0.04), (3, 0.05), (5, 0.08)])
def test_it_is_nearly_the_gaussian_filter(d, off, version):
    """Against the sums over all pairs, normalised as a CRF does; what it is off by is the lattice's own error."""
    features, values = random_features(1500, d), np.abs(random_values(1500, 4))
    lattice = build_lattice(features)
    ones = np.ones((1500, 1), np.float32)
    found = lattice.filter(values) / lattice.filter(ones)
    wanted = exact(features, values) / exact(features, ones)
    assert np.abs(found - wanted).mean() / wanted.mean() < off


@pytest.mark.parametrize("d, spread, share", [(1, 3, 0.91), (2, 3, 0.86), (3, 3, 0.81), (5, 3, 0.66), (5, 10, 0.3)])
def test_the_sums_fall_short_of_the_gaussian(d, spread, share):
    features, ones = random_features(1500, d, spread), np.ones((1500, 1), np.float32)
    assert build_lattice(features).filter(ones).sum() / exact(features, ones).sum() == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 7])
def test_the_transposed_filter_is_the_transposed_matrix(d, version):
    """<filter(x), y> == <x, filter_transposed(y)>, but for float32's rounding of sums of about 100 terms."""
    lattice = build_lattice(random_features(400, d))
    x, y = random_values(400, 3), random_values(400, 3, seed=2)
    forward = (lattice.filter(x).astype(np.float64) * y).sum()
    backward = (lattice.filter(y, transposed=True).astype(np.float64) * x).sum()
    assert forward == pytest.approx(backward, rel=2e-6, abs=1e-3)


def test_a_filter_and_its_transpose_differ_where_corners_are_missing(version):
    lattice = build_lattice(random_features(400, 5))
    x = random_values(400, 3)
    assert np.abs(lattice.filter(x) - lattice.filter(x, transposed=True)).max() > 1e-3


@needs_numba
@pytest.mark.parametrize("d, spread", [(1, 40), (2, 30), (5, 4), (5, 60), (12, 8), (5, 1e5)])
def test_the_compiled_version_equals_the_reference(d, spread, monkeypatch):
    features, values = random_features(700, d, spread), random_values(700, 5)
    results = []
    for compiles in (True, False):
        monkeypatch.setattr(_numba, "COMPILES", compiles)
        lattice = build_lattice(features)
        results.append([lattice.filter(values), lattice.filter(values, transposed=True), lattice.weights])
    (*filtered, weights), (*expected, same_weights) = results
    np.testing.assert_array_equal(weights, same_weights)
    for compiled, reference in zip(filtered, expected, strict=True):  # a product and its sum may be rounded as one
        np.testing.assert_allclose(compiled, reference, rtol=1e-5, atol=1e-5)


@needs_numba
def test_any_number_of_threads_gives_the_same_bits():
    features, values = random_features(30_000, 3, 200), random_values(30_000, 9)
    results = []
    for count in (1, 2, 3):
        with Workers(count) as workers:
            lattice = build_lattice(features, workers=workers)
            results.append(lattice.filter(values, workers=workers))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("extents", [(300, 61), (61, 300), (300, 1, 60), (200, 5, 50, 5)], ids=str)
def test_different_corners_have_different_keys(extents, monkeypatch):
    """As many as by random steps, with which two of some thousand corners have one key once in 10^11 times."""
    monkeypatch.setattr(_numba, "COMPILES", False)
    features = random_features(4000, len(extents), np.float32(extents))
    steps = np.random.default_rng(0).integers(2**64, size=len(extents) + 1, dtype=np.uint64)
    steps[-1] = 0  # the last coordinate follows from the others
    packed, spread = (embed(features, each, Workers(1))[0] for each in (key_steps(np.ptp(features, axis=0)), steps))
    assert len(np.unique(packed)) == len(np.unique(spread))


def test_the_weights_of_a_point_are_shares_of_one(version):
    weights = build_lattice(random_features(500, 4)).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.min() > -1e-5


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_point_on_a_corner_gets_its_value_and_what_comes_round(d, version):
    """Its d + 1 corners are a ring, one step along each axis; all of it lies on one of them. Blurring along all axes
    leaves that and adds what went round the ring, half in each step: 1 + 2^-(d + 1)."""
    lattice = build_lattice(np.zeros((1, d), np.float32))
    wanted = 3 * (1 + 2.0 ** -(d + 1)) / (1 + 2.0**-d)
    np.testing.assert_allclose(lattice.filter(np.full((1, 2), 3, np.float32)), wanted, rtol=1e-6)


def test_points_at_one_place_are_summed(version):
    lattice = build_lattice(np.full((6, 2), 1.7, np.float32))
    values = random_values(6, 2)
    one = build_lattice(np.full((1, 2), 1.7, np.float32)).filter(values.sum(axis=0, keepdims=True))
    np.testing.assert_allclose(lattice.filter(values), np.repeat(one, 6, axis=0), rtol=2e-5, atol=2e-6)


def test_what_is_far_away_does_not_matter(version):
    features = np.array([[0, 0], [1e4, -1e4]], np.float32)
    values = np.array([[1], [5]], np.float32)
    alone = build_lattice(features[:1]).filter(values[:1])
    np.testing.assert_array_equal(build_lattice(features).filter(values)[:1], alone)


def test_values_and_features_are_left_as_they_are(version):
    features, values = random_features(50, 3), random_values(50, 3)
    before = features.copy(), values.copy()
    build_lattice(features).filter(values)
    np.testing.assert_array_equal(features, before[0])
    np.testing.assert_array_equal(values, before[1])
