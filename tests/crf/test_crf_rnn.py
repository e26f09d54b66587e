import copy

import numpy as np
import pytest
import torch

from deeplab.crf import CRFRNN, PRESETS, DenseCRF, PairwiseKernel
from deeplab.errors import DeepLabError, ImageError, SettingsError, UnknownNameError


@pytest.fixture
def make_inputs(make_image):
    """`make_inputs(*size, num_classes=3, images=2)`: images and logits, (N, 3, H, W) and (N, C, H, W)."""

    def make(height, width, *, num_classes=3, images=2):
        image = np.stack([make_image(height, width, seed) for seed in range(images)])
        logits = 2 * torch.randn(images, num_classes, height, width, generator=torch.Generator().manual_seed(0))
        return torch.from_numpy(image).permute(0, 3, 1, 2).float(), logits

    return make


def disturbed(layer):
    """The layer with no two of its parameters equal."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return layer


# Against crfasrnn_pytorch, as recorded


@pytest.fixture(scope="module")
def recorded(shared):
    arrays = np.load(shared / "golden/crf_rnn/tiny_24x32_c5/data.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.parametrize("precision", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("iterations", [1, 2, 5, 10])
def test_logits_and_all_gradients_are_those_of_crfasrnn_pytorch(iterations, precision, recorded, device):
    """Theirs are float32, whose rounding decides at some pixels which corners exist."""
    layer = CRFRNN(5, training_iterations=iterations).to(device, precision)
    bilateral, spatial = (recorded[f"{name}_ker_weights"] for name in ("bilateral", "spatial"))
    layer.load_state_dict(
        {"kernel_weights": torch.stack([bilateral, spatial]), "compatibility": recorded["compatibility_matrix"]}
    )
    image = recorded["image"].permute(2, 0, 1)[None].to(device)
    logits = recorded["logits"].clone().to(device, precision).requires_grad_()
    refined = layer(image, logits)
    refined.backward(recorded["grad_output"].to(refined))
    assert refined.dtype == precision
    assert layer.kernel_weights.grad is not None
    assert layer.compatibility.grad is not None
    for found, name in (
        (refined, "out"),
        (logits.grad, "grad_logits"),
        (layer.kernel_weights.grad[0], "grad_bilateral_ker_weights"),
        (layer.kernel_weights.grad[1], "grad_spatial_ker_weights"),
        (layer.compatibility.grad, "grad_compatibility_matrix"),
    ):
        wanted = recorded[f"{name}_{iterations}"].double()
        off = (found.cpu().double() - wanted).abs().max() / wanted.std()
        assert off < 2e-4, name


# What it is


@pytest.mark.parametrize("preset", PRESETS)
def test_before_it_has_learned_it_is_the_dense_crf(preset, make_inputs):
    image, logits = make_inputs(13, 18)
    layer = CRFRNN(3, kernels=preset)
    for iterations, refined in ((5, layer.train()(image, logits)), (10, layer.eval()(image, logits))):
        wanted = DenseCRF(preset, iterations=iterations).from_logits(image.movedim(1, -1), logits)
        torch.testing.assert_close(refined.softmax(dim=1), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("compatibility", [[-3, -1, -2], [[0, 1, 5], [2, 0, 1], [1, 4, 0]]])
def test_a_kernels_compatibility_is_a_start_too(compatibility, make_inputs):
    image, logits = make_inputs(13, 18)
    kernels = [PairwiseKernel(weight=1.5, sigma_xy=4, sigma_rgb=30, compatibility=compatibility)]
    wanted = DenseCRF(kernels).from_logits(image.movedim(1, -1), logits)
    found = CRFRNN(3, kernels=kernels).eval()(image, logits).softmax(dim=1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalization", ["symmetric", "before", "after", "none"])
def test_its_gradients_are_those_of_finite_differences(normalization, make_inputs, device):
    kernels = [
        PairwiseKernel(weight=1, sigma_xy=3, sigma_rgb=30, normalization=normalization),
        PairwiseKernel(weight=0.5, sigma_xy=1, normalization=normalization),
    ]
    image, logits = make_inputs(3, 4, images=2)
    layer = disturbed(CRFRNN(3, kernels=kernels, training_iterations=2)).to(device, torch.float64)

    def refined(logits, kernel_weights, compatibility):
        parameters = {"kernel_weights": kernel_weights, "compatibility": compatibility}
        return torch.func.functional_call(layer, parameters, (image.to(device), logits))

    inputs = (logits.to(device, torch.float64).requires_grad_(), layer.kernel_weights, layer.compatibility)
    assert torch.autograd.gradcheck(refined, inputs, fast_mode=True)


def test_the_compiled_lattice_gives_what_tensor_operations_in_float64_give(make_inputs):
    image, logits = make_inputs(40, 50, num_classes=5)
    results = []
    for precision in (torch.float32, torch.float64):
        layer = disturbed(CRFRNN(5)).to(precision)
        given = logits.clone().to(precision).requires_grad_()
        refined = layer(image, given)
        refined.square().mean().backward()
        results.append([refined, given.grad, *(parameter.grad for parameter in layer.parameters())])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found.double(), wanted, atol=2e-4 * wanted.abs().max().item(), rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_compiled_lattice_gives(make_inputs):
    image, logits = make_inputs(40, 50, num_classes=5)
    layer = disturbed(CRFRNN(5)).eval()
    wanted, found = layer(image, logits), copy.deepcopy(layer).cuda()(image.cuda(), logits.cuda())
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-3, rtol=0)


def test_a_batch_is_its_images_one_by_one(make_inputs):
    image, logits = make_inputs(12, 15, images=3)
    layer = disturbed(CRFRNN(3)).eval()
    alone = [layer(image[n : n + 1], logits[n : n + 1]) for n in range(3)]
    torch.testing.assert_close(layer(image, logits), torch.cat(alone), atol=0, rtol=0)


def test_of_an_iteration_only_the_marginals_are_kept_for_the_gradient(make_inputs):
    image, logits = make_inputs(40, 50, num_classes=7, images=1)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        CRFRNN(7, training_iterations=4)(image, logits.requires_grad_())
    marginals = 40 * 50 * 7 * 4
    assert [size for size in kept.values() if size >= marginals] == [marginals] * 4


def test_it_learns_to_correct_wrong_pixels(make_inputs):
    """Three in ten logits are of the next class."""
    image, _ = make_inputs(24, 32, images=1)
    labels = (image.mean(dim=1) > image.mean()).long()
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(labels.shape, generator=generator) < 0.3
    logits = 2 * torch.nn.functional.one_hot((labels + wrong) % 3, 3).movedim(-1, 1).float()
    layer = CRFRNN(3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(layer(image, logits), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 < torch.nn.functional.cross_entropy(logits, labels) < losses[0]


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_any_number_of_bands(bands, make_inputs):
    _, logits = make_inputs(9, 11)
    guide = 255 * torch.rand(2, bands, 9, 11, generator=torch.Generator().manual_seed(0))
    wanted = DenseCRF("crf-rnn").from_logits(guide.movedim(1, -1), logits)
    torch.testing.assert_close(CRFRNN(3).eval()(guide, logits).softmax(dim=1), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_tiny_images(size, num_classes, make_inputs):
    image, logits = make_inputs(8, 8, num_classes=num_classes)
    rows, columns = (slice(length) for length in size)
    refined = CRFRNN(num_classes)(image[..., rows, columns], logits[..., rows, columns].requires_grad_())
    assert refined.shape == (2, num_classes, *size)
    assert torch.isfinite(refined).all()


def test_an_image_that_others_want_a_gradient_of_is_no_obstacle(make_inputs):
    image, logits = make_inputs(6, 7)
    CRFRNN(3)(image.requires_grad_(), logits).sum().backward()
    assert image.grad is None


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_refined_in_float32(half, make_inputs):
    image, logits = make_inputs(12, 15)
    layer = CRFRNN(3).eval()
    wanted = layer(image, logits.to(half).float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(image.byte(), logits.to(half))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=0, rtol=0)


# What cannot work


@pytest.mark.parametrize("name", ["num_classes", "training_iterations", "iterations"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 5.0, None, True])
def test_a_number_that_cannot_work(name, value):
    with pytest.raises(SettingsError, match=f"{name} wants a whole number of at least 1, got {value}"):
        CRFRNN(**{"num_classes": 3, name: value})


def test_no_kernels_are_refused():
    with pytest.raises(SettingsError, match="a CRF wants at least one pairwise kernel, got none"):
        CRFRNN(3, kernels=[])


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match="no CRF preset 'crfrnn'; did you mean crf-rnn"):
        CRFRNN(3, kernels="crfrnn")


@pytest.mark.parametrize(
    "image, logits, problem",
    [
        ((1, 3, 4, 5), (1, 2, 4, 5), r"logits want shape \(N, 3, height, width\), .*, got \(1, 2, 4, 5\)"),
        ((3, 4, 5), (3, 4, 5), r"logits want shape"),
        ((0, 3, 4, 5), (0, 3, 4, 5), r"with at least one of each, got \(0, 3, 4, 5\)"),
        ((1, 3, 5, 4), (1, 3, 4, 5), r"image of shape \(1, 3, 5, 4\) does not fit logits of shape \(1, 3, 4, 5\)"),
        ((2, 3, 4, 5), (1, 3, 4, 5), "does not fit"),
        ((1, 4, 5), (1, 3, 4, 5), "does not fit"),
    ],
)
def test_sizes_that_disagree(image, logits, problem):
    with pytest.raises(ImageError, match=problem):
        CRFRNN(3)(torch.zeros(image), torch.zeros(logits))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["image", "logits"])
def test_values_that_are_no_numbers(name, value, make_inputs):
    inputs = dict(zip(("image", "logits"), make_inputs(4, 5), strict=True))
    inputs[name][1, 2, 3, 4] = value
    with pytest.raises(ImageError, match=f"{name} wants? finite numbers; some are not"):
        CRFRNN(3)(**inputs)


def test_values_that_float32_cannot_place_in_the_lattice(make_inputs):
    image, logits = make_inputs(24, 25)
    image[0, :, 0, 0] = -3.4e38
    with pytest.raises(ImageError, match="standard deviations of a kernel from 0"):
        CRFRNN(3).eval()(image, logits)


def test_standard_deviations_of_another_number_of_bands(make_inputs):
    layer = CRFRNN(3, kernels=[PairwiseKernel(weight=1, sigma_xy=1, sigma_rgb=(1, 2))])
    with pytest.raises(DeepLabError, match="sigma_rgb wants one number or 3"):
        layer(*make_inputs(4, 5))


def test_too_large_an_image_is_refused_before_the_work_starts(make_inputs, monkeypatch):
    monkeypatch.setattr("deeplab.crf.pairwise.free_memory", lambda: 30_000)
    with pytest.raises(ImageError, match="a CRF of 40 x 50 pixels and 3 classes needs about"):
        CRFRNN(3)(*make_inputs(40, 50))
