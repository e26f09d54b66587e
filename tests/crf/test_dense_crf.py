import json
import sys
from typing import get_args

import numpy as np
import pytest
import torch

from deeplab.crf import PRESETS, DenseCRF, PairwiseKernel
from deeplab.errors import DeepLabError, ImageError, SettingsError, UnknownNameError
from deeplab.kernels import _numba
from deeplab.settings import CRFPreset


@pytest.fixture
def random_probabilities():
    def make(num_classes, *size, seed=0):
        logits = np.random.default_rng(seed).normal(scale=2, size=(num_classes, *size))
        exponents = np.exp(logits)
        return (exponents / exponents.sum(axis=0)).astype(np.float32)

    return make


def exact(kernels, image, unary, iterations):
    """Mean field by sums over all pairs, in float64."""
    num_classes, *size = unary.shape
    unary = unary.reshape(num_classes, -1).astype(np.float64)
    places = np.indices(size).reshape(len(size), -1).T.astype(np.float64)
    colours = image.reshape(len(places), -1).astype(np.float64)
    filters = []
    for kernel in kernels:
        distance = ((places[:, None] - places) ** 2 / np.square(kernel.sigma_xy)).sum(axis=-1)
        if kernel.sigma_rgb is not None:
            distance += ((colours[:, None] - colours) ** 2 / np.square(kernel.sigma_rgb)).sum(axis=-1)
        similar = np.exp(-distance / 2)
        total = similar.sum(axis=1)
        if kernel.normalization == "symmetric":
            similar /= np.sqrt(total[:, None] * total)
        elif kernel.normalization != "none":
            similar /= total[:, None] if kernel.normalization == "after" else total
        potts = -np.eye(num_classes)
        mu = potts if kernel.compatibility is None else np.asarray(kernel.compatibility, np.float64)
        filters.append((similar, kernel.weight * (np.diag(mu) if mu.ndim == 1 else (mu + mu.T) / 2)))
    marginals = softmax(-unary)
    for _ in range(iterations):
        marginals = softmax(-unary - sum(mu @ marginals @ similar.T for similar, mu in filters))
    return marginals.reshape(num_classes, *size)


def softmax(scores):
    exponents = np.exp(scores - scores.max(axis=0))
    return exponents / exponents.sum(axis=0)


# Against pydensecrf and against sums over all pairs, as recorded


@pytest.fixture(scope="module")
def golden(shared):
    """`golden(case)`: what case.json says, the image and the unary energies."""
    sys.path.insert(0, str(shared / "golden"))
    try:
        import crf_common
    finally:
        sys.path.remove(str(shared / "golden"))

    def load(case, inputs="inputs.npz"):
        folder = shared / "golden" / case
        facts, arrays = json.loads((folder / "case.json").read_text()), np.load(folder / inputs)
        unary = crf_common.unary(arrays["low_logits"], facts["hw"]).reshape(-1, *facts["hw"])
        return folder, facts, arrays["image"], unary

    return load


def recorded_kernels(run, compatibility=None):
    """The kernels of a recorded run; a diagonal or full compatibility holds the weight itself."""
    numbers, normalization = run["params"], run["normalization"]
    appearance = PairwiseKernel(
        weight=numbers["bi_w"] if compatibility is None else 1,
        sigma_xy=numbers["bi_xy_std"],
        sigma_rgb=numbers["bi_rgb_std"],
        compatibility=compatibility,
        normalization=normalization,
    )
    smoothness = PairwiseKernel(weight=numbers["pos_w"], sigma_xy=numbers["pos_xy_std"], normalization=normalization)
    return appearance, smoothness


SMALL, LARGE = "crf_pydensecrf/small_dogs_120x160", "crf_pydensecrf/crf2_321x481"
RUNS = [
    (case, run)
    for case, runs in (
        (SMALL, "v1_largefov v2_resnet101 norm_none norm_before norm_after diag_compat matrix_compat"),
        (LARGE, "v1_largefov v2_resnet101 krahenbuhl"),
    )
    for run in runs.split()
]


@pytest.mark.parametrize("case, run", RUNS)
def test_marginals_are_those_of_pydensecrf(case, run, golden):
    """The lattice is the same, so float32's rounding is all that differs."""
    folder, facts, image, unary = golden(case)
    recorded = np.load(folder / f"{run}.npz")
    kernels = recorded_kernels(facts["runs"][run], recorded.get("compat_bi"))
    for iterations in (1, 10):
        marginals = DenseCRF(kernels, iterations=iterations).infer(image, unary)
        if case == SMALL:
            difference = marginals - recorded[f"Q_{iterations}"]
        else:
            some = marginals.reshape(len(marginals), -1)[:, recorded["pixel_index"]]
            difference = some - recorded[f"Q_{iterations}_at_pixels"]
        assert np.abs(difference).mean() < 1e-7
        assert (marginals.argmax(axis=0) == recorded[f"map_{iterations}"]).mean() > 0.9999


@pytest.mark.parametrize(
    "run", ["v1_largefov", "norm_none", "norm_before", "norm_after", "diag_compat", "matrix_compat"]
)
def test_the_free_energy_is_that_of_pydensecrf(run, golden):
    """It counts each pair twice; its sums are in float32, ours in float64."""
    folder, facts, image, unary = golden(SMALL)
    kernels = recorded_kernels(facts["runs"][run], np.load(folder / f"{run}.npz").get("compat_bi"))
    start, first = DenseCRF(kernels, iterations=1).trace(image, unary)
    recorded = facts["runs"][run]
    for terms, kl in ((start, recorded["kl_initial"]), (first, recorded["iterations"]["1"]["kl"])):
        assert terms.kl + terms.pairwise == pytest.approx(kl, rel=2e-5)


def test_marginals_are_near_those_of_sums_over_all_pairs(golden):
    """What is left is the lattice's error; pydensecrf's is the same."""
    folder, facts, image, unary = golden("crf_exact/24x32_dogs_c5", "data.npz")
    recorded = np.load(folder / "data.npz")
    for name, run in facts["runs"].items():
        for iterations, most in ((1, 0.005), (5, 0.012), (10, 0.033)):
            marginals = DenseCRF(recorded_kernels(run), iterations=iterations).infer(image, unary)
            off = np.abs(marginals - recorded[f"{name}_Q_{iterations}"]).mean()
            assert off < most
            gap = run["pydensecrf_gap"][str(iterations)]["lattice_vs_exact_mean"]
            assert off == pytest.approx(gap, abs=1e-5)


# Against sums over all pairs, computed here


@pytest.mark.parametrize("normalization", ["symmetric", "before", "after"])
def test_normalised_kernels_are_near_the_exact_ones(normalization, make_image, random_probabilities):
    image, probabilities = make_image(20, 24), random_probabilities(3, 20, 24)
    kernels = (
        PairwiseKernel(weight=4, sigma_xy=8, sigma_rgb=25, normalization=normalization),
        PairwiseKernel(weight=3, sigma_xy=2, normalization=normalization),
    )
    unary = -np.log(probabilities)
    found, wanted = DenseCRF(kernels, iterations=2).infer(image, unary), exact(kernels, image, unary, 2)
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(wanted - probabilities).mean()


@pytest.mark.parametrize("compatibility", [[-3, -1, -2], [[0, 1, 5], [2, 0, 1], [1, 4, 0]]])
def test_every_compatibility_is_near_the_exact_one(compatibility, make_image, random_probabilities):
    image, unary = make_image(20, 24), -np.log(random_probabilities(3, 20, 24))
    kernels = [PairwiseKernel(weight=1.5, sigma_xy=4, sigma_rgb=30, compatibility=compatibility)]
    found = DenseCRF(kernels, iterations=2).infer(image, unary)
    assert np.abs(found - exact(kernels, image, unary, 2)).mean() < 0.02


def test_potts_is_the_matrix_that_charges_different_labels(make_image, random_probabilities):
    """With the normalisation after the filter the two differ by a constant, which the softmax does not see."""
    image, probabilities = make_image(20, 24), random_probabilities(3, 20, 24)
    potts, matrix = (
        PairwiseKernel(weight=4, sigma_xy=4, sigma_rgb=30, compatibility=mu, normalization="after")
        for mu in (None, 1 - np.eye(3))
    )
    np.testing.assert_allclose(
        DenseCRF([potts])(image, probabilities), DenseCRF([matrix])(image, probabilities), atol=2e-5
    )


@pytest.mark.parametrize("bands", [None, 1, 2, 6])
def test_any_number_of_bands(bands, random_probabilities):
    size = (20, 24) if bands is None else (20, 24, bands)
    image = np.random.default_rng(3).integers(0, 60, size).astype(np.uint16)
    unary = -np.log(random_probabilities(3, 20, 24))
    kernels = [PairwiseKernel(weight=4, sigma_xy=5, sigma_rgb=40)]
    found = DenseCRF(kernels, iterations=2).infer(image, unary)
    assert np.abs(found - exact(kernels, image, unary, 2)).mean() < 0.02


def test_a_standard_deviation_for_each_axis_and_band(make_image, random_probabilities):
    image, unary = make_image(20, 24), -np.log(random_probabilities(3, 20, 24))
    kernels = [PairwiseKernel(weight=4, sigma_xy=(2, 9), sigma_rgb=(20, 50, 90))]
    found = DenseCRF(kernels, iterations=2).infer(image, unary)
    assert np.abs(found - exact(kernels, image, unary, 2)).mean() < 0.02
    turned = [PairwiseKernel(weight=4, sigma_xy=(9, 2), sigma_rgb=(20, 50, 90))]
    assert np.abs(found - exact(turned, image, unary, 2)).mean() > 0.02


def test_volumes(random_probabilities):
    image = np.random.default_rng(3).integers(0, 60, (6, 9, 10)).astype(np.uint8)
    unary = -np.log(random_probabilities(3, 6, 9, 10))
    kernels = [PairwiseKernel(weight=4, sigma_xy=(2, 3, 3), sigma_rgb=40)]
    found = DenseCRF(kernels, iterations=2, dimensions=3).infer(image, unary)
    assert np.abs(found - exact(kernels, image, unary, 2)).mean() < 0.02


# What goes in and comes out


def test_a_batch_is_its_images_one_by_one(make_image, random_probabilities):
    images = np.stack([make_image(12, 15, seed) for seed in range(3)])
    probabilities = np.stack([random_probabilities(4, 12, 15, seed=seed) for seed in range(3)])
    crf = DenseCRF()
    together = crf(images, probabilities)
    assert together.shape == probabilities.shape
    for one, image, alone in zip(together, images, probabilities, strict=True):
        np.testing.assert_array_equal(one, crf(image, alone))


def test_each_pixel_sums_to_one_and_nothing_is_changed(make_image, random_probabilities):
    image, probabilities = make_image(31, 17), random_probabilities(21, 31, 17)
    before = image.copy(), probabilities.copy()
    marginals = DenseCRF()(image, probabilities)
    assert marginals.dtype == np.float32
    np.testing.assert_allclose(marginals.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(probabilities, before[1])


def test_probabilities_logits_and_energies_are_the_same_input(make_image, random_probabilities):
    image, probabilities = make_image(12, 15), random_probabilities(4, 12, 15)
    crf = DenseCRF("v1")
    wanted = crf(image, probabilities)
    np.testing.assert_allclose(crf.from_logits(image, np.log(probabilities) + 3), wanted, atol=1e-4)
    np.testing.assert_allclose(crf.infer(image, -np.log(probabilities)), wanted, atol=1e-4)


def test_tensors_give_a_tensor_where_they_are(make_image, random_probabilities, device):
    """Of images given as an array too; on a GPU the lattice is that of tensor operations."""
    image = np.stack([make_image(12, 15, seed) for seed in range(2)])
    probabilities = np.stack([random_probabilities(4, 12, 15, seed=seed) for seed in range(2)])
    crf, known = DenseCRF("v1"), torch.from_numpy(probabilities).to(device)
    for guide in (image, torch.from_numpy(image).to(device)):
        for marginals in (crf(guide, known), crf.from_logits(guide, known.log()), crf.infer(guide, -known.log())):
            assert (marginals.dtype, marginals.device.type) == (torch.float32, device.type)
            np.testing.assert_allclose(marginals.cpu(), crf(image, probabilities), atol=1e-3)


def test_a_tensor_may_ask_for_its_gradient(make_image, random_probabilities):
    probabilities = torch.from_numpy(random_probabilities(2, 4, 5))
    image, crf = make_image(4, 5), DenseCRF(iterations=1)
    found = crf(image, probabilities.clone().requires_grad_())
    torch.testing.assert_close(found, crf(image, probabilities), rtol=0, atol=0)
    assert not found.requires_grad


@pytest.mark.parametrize("dimensions, size", [(2, (13, 18)), (3, (4, 5, 6))])
@pytest.mark.parametrize("compatibility", [None, [-3, -1, -2], [[0, 1, 5], [2, 0, 1], [1, 4, 0]]])
def test_tensor_operations_in_float64_give_the_same(dimensions, size, compatibility, random_probabilities, device):
    image = 60 * np.random.default_rng(3).random((*size, 3))
    kernels = (  # of which rounding decides nowhere in which simplex a pixel lies
        PairwiseKernel(weight=1.5, sigma_xy=3.7, sigma_rgb=31.3, compatibility=compatibility),
        PairwiseKernel(weight=2, sigma_xy=1.9, normalization="before"),
    )
    crf, unary = DenseCRF(kernels, dimensions=dimensions), -np.log(random_probabilities(3, *size))
    found = crf._by_tensors(*(torch.from_numpy(each).double().to(device) for each in (image, unary)))
    np.testing.assert_allclose(found.cpu(), crf.infer(image, unary), atol=1e-4)


def test_values_in_memory_that_is_not_to_be_written_to(make_image, random_probabilities):
    image, probabilities = make_image(6, 7).astype(np.float32), random_probabilities(4, 6, 7)
    wanted = DenseCRF()(image, probabilities)
    image.flags.writeable = probabilities.flags.writeable = False
    np.testing.assert_array_equal(DenseCRF()(image[:, ::-1][:, ::-1], probabilities), wanted)


def test_labels_as_input(make_image):
    labels = np.zeros((12, 15), np.uint8)
    labels[:, 8:] = 2
    labels[3, 3] = 255
    image = make_image(12, 15)
    probabilities = DenseCRF(iterations=0).from_labels(image, labels, num_classes=3, confidence=0.6)
    np.testing.assert_allclose(probabilities[:, 0, 0], [0.6, 0.2, 0.2], rtol=1e-5)
    np.testing.assert_allclose(probabilities[:, 0, 14], [0.2, 0.2, 0.6], rtol=1e-5)
    np.testing.assert_allclose(probabilities[:, 3, 3], 1 / 3, rtol=1e-5)
    assert DenseCRF().from_labels(image, labels, num_classes=3)[:, 3, 3].argmax() == 0  # as all around it


def test_the_label_that_is_unknown_is_the_one_that_is_named(make_image):
    labels = np.array([[0, 7, 1]])
    found = DenseCRF(iterations=0).from_labels(make_image(1, 3), labels, num_classes=2, ignore_index=7)
    np.testing.assert_allclose(found[:, 0], [[0.7, 0.5, 0.3], [0.3, 0.5, 0.7]], rtol=1e-5)


def test_labels_of_one_class_leave_nothing_to_others(make_image):
    found = DenseCRF(iterations=0).from_labels(make_image(2, 3), np.zeros((2, 3), int), num_classes=1)
    np.testing.assert_array_equal(found, 1)


def test_no_iterations_leave_the_probabilities(make_image, random_probabilities):
    probabilities = random_probabilities(4, 12, 15)
    np.testing.assert_allclose(DenseCRF(iterations=0)(make_image(12, 15), probabilities), probabilities, rtol=1e-4)


def test_a_wrong_pixel_in_a_flat_area_is_put_right(make_image):
    image = np.full((15, 15, 3), 90, np.uint8)
    image[:, 8:] = 200
    probabilities = np.full((2, 15, 15), 0.1, np.float32)
    probabilities[0, :, :8] = probabilities[1, :, 8:] = 0.9
    probabilities[:, 7, 3] = 0.3, 0.7
    labels = DenseCRF()(image, probabilities).argmax(axis=0)
    np.testing.assert_array_equal(labels, np.arange(15) >= np.full((15, 1), 8))


def test_the_iterations_lower_the_free_energy(make_image, random_probabilities):
    terms = DenseCRF("v1").trace(make_image(30, 40), -np.log(random_probabilities(4, 30, 40)))
    kl = [each.kl for each in terms]
    assert len(kl) == 11
    assert kl == sorted(kl, reverse=True)


def test_the_options_name_every_preset():
    assert get_args(CRFPreset) == tuple(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs_with_and_without_numba(preset, make_image, random_probabilities, monkeypatch):
    image, probabilities = make_image(13, 18), random_probabilities(3, 13, 18)
    compiled = DenseCRF(preset)(image, probabilities)
    monkeypatch.setattr(_numba, "COMPILES", False)
    np.testing.assert_allclose(DenseCRF(preset)(image, probabilities), compiled, atol=1e-4)


@pytest.mark.parametrize("size", [(65, 64), (63, 130)])
def test_pixels_come_back_to_their_places(size, make_image, random_probabilities):
    """They are worked on in tiles of 64 x 64."""
    probabilities = random_probabilities(3, *size)
    result = DenseCRF([PairwiseKernel(weight=1e-6, sigma_xy=1)], iterations=1)(make_image(*size), probabilities)
    np.testing.assert_allclose(result, probabilities, atol=1e-5)


def test_threads_make_no_difference(make_image, random_probabilities):
    image, probabilities = make_image(120, 90), random_probabilities(3, 120, 90)
    one, three = (DenseCRF(threads=threads)(image, probabilities) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_probabilities_of_exactly_0_and_1_can_still_change(make_image):
    probabilities = np.zeros((2, 9, 9), np.float32)
    probabilities[0] = 1
    probabilities[:, 4, 4] = 0, 1
    marginals = DenseCRF([PairwiseKernel(weight=20, sigma_xy=3)])(make_image(9, 9), probabilities)
    assert np.isfinite(marginals).all()
    assert not marginals.argmax(axis=0).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_tiny_images(size, make_image, random_probabilities):
    marginals = DenseCRF()(make_image(8, 8)[: size[0], : size[1]], random_probabilities(3, *size))
    np.testing.assert_allclose(marginals.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 2**16), (2**16, 1)])
def test_the_end_of_a_very_long_image_is_as_if_it_were_alone(size, random_probabilities):
    """The lattice around pixels has no numbers for so many, so that it is another one; both are off by a little."""
    image, probabilities = np.zeros(size, np.uint8), random_probabilities(2, *size)
    crf = DenseCRF([PairwiseKernel(weight=1, sigma_xy=1)], iterations=1)
    whole, end = crf(image, probabilities), crf(image[-100:, -100:], probabilities[:, -100:, -100:])
    np.testing.assert_allclose(whole[:, -50:, -50:], end[:, -50:, -50:], atol=0.05)


def test_one_class_is_everywhere(make_image):
    np.testing.assert_array_equal(DenseCRF()(make_image(5, 6), np.full((1, 5, 6), 0.4)), 1)


# What cannot work


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sigma_xy": 0}, "sigma_xy wants numbers above 0, got 0"),
        ({"sigma_xy": 3, "sigma_rgb": -1}, "sigma_rgb wants numbers above 0, got -1"),
        ({"sigma_xy": float("nan")}, "sigma_xy wants numbers above 0, got nan"),
        ({"sigma_xy": 3, "weight": float("inf")}, "weight wants a number, got inf"),
        ({"sigma_xy": 3, "normalization": "both"}, "normalization wants symmetric or before or after or none"),
        ({"sigma_xy": 3, "compatibility": [[1], [1, 2]]}, "compatibility wants one row of numbers, or rows of as many"),
    ],
)
def test_a_kernel_that_cannot_be(options, message):
    with pytest.raises(SettingsError, match=message):
        PairwiseKernel(**({"weight": 1} | options))


@pytest.mark.parametrize(
    "options",
    [
        *({"iterations": value} for value in (-1, 1.5, 5.0, float("inf"), None, True, "5")),
        {"dimensions": 0},
        {"dimensions": None},
        {"threads": 0},
    ],
)
def test_a_number_that_cannot_work(options):
    with pytest.raises(SettingsError, match="wants a whole number of at least"):
        DenseCRF(**options)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no CRF preset 'v2-resnet50'; did you mean v2-resnet101"):
        DenseCRF("v2-resnet50")


@pytest.mark.parametrize(
    "image, probabilities",
    [
        ((4, 5, 3), (2, 5, 4)),
        ((4, 5, 3), (4, 5)),
        ((4, 5, 3, 1), (2, 4, 5)),
        ((0, 5, 3), (2, 0, 5)),
        ((2, 4, 5, 3), (3, 2, 4, 5)),
        ((3, 4, 5, 3), (2, 2, 4, 5)),
    ],
)
def test_sizes_that_disagree(image, probabilities):
    with pytest.raises(ImageError):
        DenseCRF()(np.zeros(image), np.ones(probabilities))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
def test_probabilities_that_are_none(value, make_image):
    probabilities = np.full((2, 4, 5), 0.5)
    probabilities[1, 2, 3] = value
    with pytest.raises(ImageError, match="probabilities"):
        DenseCRF()(make_image(4, 5), probabilities)


def test_an_image_with_holes():
    with pytest.raises(ImageError, match="image want finite numbers"):
        DenseCRF()(np.full((4, 5), np.nan), np.full((2, 4, 5), 0.5))


@pytest.mark.parametrize(
    "value, options",
    [
        (-3.4e38, {"sigma_xy": 3, "sigma_rgb": 3}),  # what stands for missing values in many a GeoTIFF
        (1e8, {"sigma_xy": 3, "sigma_rgb": 3}),
        (255, {"sigma_xy": 3, "sigma_rgb": 1e-7}),
        (255, {"sigma_xy": 1e-50}),
    ],
)
@pytest.mark.parametrize("compiles", [True, False])
def test_values_that_float32_cannot_place_in_the_lattice(value, options, compiles, monkeypatch):
    monkeypatch.setattr(_numba, "COMPILES", compiles)
    image = np.zeros((32, 32, 3), np.float32)
    image[0, 0] = value
    with pytest.raises(ImageError, match=r"standard deviations of a kernel from 0, wanted at most 1\.0e\+06; replace"):
        DenseCRF([PairwiseKernel(weight=1, **options)])(image, np.full((2, 32, 32), 0.5))


@pytest.mark.parametrize("bands", [1, 3, 20])
def test_values_at_the_edge_of_the_lattice_still_count(bands, make_image):
    image = np.where(make_image(16, 16)[..., :1] > 127, 1e6, -1e6) * np.ones(bands)
    probabilities = np.full((2, 16, 16), 0.5, np.float32)
    probabilities[0, 3, 4] = 1
    found = DenseCRF([PairwiseKernel(weight=1, sigma_xy=3, sigma_rgb=1)])(image, probabilities)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_a_batch_of_nothing_is_nothing():
    assert DenseCRF()(np.zeros((0, 8, 9, 3)), np.zeros((0, 2, 8, 9))).shape == (0, 2, 8, 9)


def test_too_large_an_image_is_refused_before_the_work_starts(make_image, monkeypatch):
    monkeypatch.setattr("deeplab.crf.pairwise.free_memory", lambda: 30_000)
    with pytest.raises(ImageError, match=r"40 x 50 pixels and 2 classes needs about 0\.0 GiB of memory"):
        DenseCRF()(make_image(40, 50), np.full((2, 40, 50), 0.5))


@pytest.mark.parametrize("options", [{"sigma_xy": (1, 2, 3)}, {"sigma_xy": 1, "sigma_rgb": (1, 2)}])
def test_standard_deviations_of_another_number_of_axes(options, make_image):
    with pytest.raises(SettingsError, match="wants one number or"):
        DenseCRF([PairwiseKernel(weight=1, **options)])(make_image(4, 5), np.full((2, 4, 5), 0.5))


def test_a_compatibility_of_other_classes(make_image):
    with pytest.raises(SettingsError, match=r"compatibility wants shape \(2,\) or \(2, 2\), got \(3,\)"):
        DenseCRF([PairwiseKernel(weight=1, sigma_xy=1, compatibility=[1, 2, 3])])(
            make_image(4, 5), np.full((2, 4, 5), 0.5)
        )


@pytest.mark.parametrize("options", [{"num_classes": 2}, {"num_classes": 9, "confidence": 1.5}])
def test_labels_that_cannot_be(options, make_image):
    with pytest.raises(DeepLabError, match=r"labels go from 0 to 7|confidence wants"):
        DenseCRF().from_labels(make_image(1, 2), np.array([[0, 7]]), **options)
