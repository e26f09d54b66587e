"""Losses of coarse logits, in strips, beside the same of the logits at full size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from deeplab.losses import Upsampled, cross_entropy, dice, focal, full_size, lovasz, upsampled
from deeplab.models import create_model

GEOMETRIES = [
    {"coarse": (3, 4), "size": (17, 25), "grid_size": (17, 25), "align_corners": True},
    {"coarse": (3, 4), "size": (15, 20), "grid_size": (17, 25), "align_corners": True},  # padded, and cropped again
    {"coarse": (3, 4), "size": (16, 29), "grid_size": (16, 29), "align_corners": False},
    {"coarse": (1, 1), "size": (5, 7), "grid_size": (5, 7), "align_corners": True},
    {"coarse": (9, 1), "size": (9, 6), "grid_size": (9, 6), "align_corners": False},  # as it is, and all alike
    {"coarse": (9, 8), "size": (4, 5), "grid_size": (4, 5), "align_corners": False},  # smaller
]
NUM_CLASSES = 5
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0], dtype=torch.float64)
LOSSES = {
    "plain": (cross_entropy, {}),
    "weights": (cross_entropy, {"class_weights": WEIGHTS}),
    "smoothing": (cross_entropy, {"label_smoothing": 0.2}),
    "weights and smoothing": (cross_entropy, {"class_weights": WEIGHTS, "label_smoothing": 0.2, "divisor": "weights"}),
    "hard pixels": (cross_entropy, {"hard_pixels": 0.3}),
    "everything": (
        cross_entropy,
        {"class_weights": WEIGHTS, "label_smoothing": 0.1, "hard_pixels": 0.4, "divisor": "all"},
    ),
    "focal": (focal, {}),
    "focal, hard": (focal, {"gamma": 0.5, "class_weights": WEIGHTS, "hard_pixels": 0.4, "divisor": "weights"}),
    "dice": (dice, {}),
    "lovasz": (lovasz, {}),
}


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    monkeypatch.setitem(upsampled.STRIP_ELEMENTS, "cpu", 4 * 25 * NUM_CLASSES)  # about four rows


def make(geometry, *, images=2, dtype=torch.float64, scale=3.0):
    """Upsampled logits that ask for their gradient, and labels with some to be ignored."""
    generator = torch.Generator().manual_seed(0)
    coarse = scale * torch.randn(images, NUM_CLASSES, *geometry["coarse"], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, NUM_CLASSES - 1, (images, *geometry["size"]), generator=generator, dtype=torch.uint8)
    labels[0, :2] = 255
    options = {name: value for name, value in geometry.items() if name != "coarse"}
    return Upsampled(coarse.to(dtype).requires_grad_(), **options), labels


def with_gradient(loss, logits, coarse):
    value = loss(logits)
    (gradient,) = torch.autograd.grad(value, coarse)
    return value.detach(), gradient


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: f"{geometry['coarse']} to {geometry['size']}")
def test_loss_and_gradient_are_those_of_the_logits_at_full_size(name, geometry):
    function, options = LOSSES[name]
    logits, labels = make(geometry)
    value, gradient = with_gradient(lambda each: function(each, labels, **options), logits, logits.coarse)
    expected = with_gradient(lambda each: function(each, labels, **options), full_size(logits), logits.coarse)
    torch.testing.assert_close(value, expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-10, atol=1e-15)


def test_in_float32_the_difference_to_float64_is_rounding():
    logits, labels = make(GEOMETRIES[0], dtype=torch.float32)
    doubled = replace(logits, coarse=logits.coarse.double())
    value, gradient = with_gradient(lambda each: cross_entropy(each, labels), logits, logits.coarse)
    exact = with_gradient(lambda each: cross_entropy(each, labels), full_size(doubled), logits.coarse)
    torch.testing.assert_close(value, exact[0].float(), rtol=3e-7, atol=0)
    torch.testing.assert_close(gradient, exact[1], rtol=0, atol=2e-7 * gradient.abs().max().item())


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name):
    function, options = LOSSES[name]
    logits, labels = make({"coarse": (2, 2), "size": (4, 3), "grid_size": (5, 4), "align_corners": True}, scale=1.0)

    def of(coarse):
        return function(Upsampled(coarse, (4, 3), (5, 4), True), labels, **options)

    assert torch.autograd.gradcheck(of, (logits.coarse,))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("form", [lambda logits: logits, full_size], ids=["in strips", "full size"])
def test_all_ignored_costs_zero_and_has_a_zero_gradient(name, form):
    function, options = LOSSES[name]
    logits, labels = make(GEOMETRIES[1])
    labels.fill_(255)
    value, gradient = with_gradient(lambda each: function(each, labels, **options), form(logits), logits.coarse)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("form", [lambda logits: logits, full_size], ids=["in strips", "full size"])
def test_extreme_logits_give_finite_numbers(name, form):
    function, options = LOSSES[name]
    logits, labels = make(GEOMETRIES[0], dtype=torch.float32)
    with torch.no_grad():
        logits.coarse.sign_().mul_(1e4)
    value, gradient = with_gradient(lambda each: function(each, labels, **options), form(logits), logits.coarse)
    assert torch.isfinite(value)
    assert value > 0
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32_and_its_gradient_comes_back_in_half(name, dtype):
    function, options = LOSSES[name]
    logits, labels = make(GEOMETRIES[0], dtype=dtype)
    value, gradient = with_gradient(lambda each: function(each, labels, **options), logits, logits.coarse)
    expected = with_gradient(lambda each: function(each, labels, **options), full_size(logits), logits.coarse)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(gradient, expected[1])


def test_autocast_does_not_reach_into_the_strips():
    logits, labels = make(GEOMETRIES[0], dtype=torch.float32)
    expected = with_gradient(lambda each: cross_entropy(each, labels), logits, logits.coarse)
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradient(lambda each: cross_entropy(each, labels), logits, logits.coarse)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_rows_do_not_depend_on_the_strips(monkeypatch):
    logits, labels = make(GEOMETRIES[0], images=3)
    values = []
    for elements in (1, 2**9, 2**20):  # a row, some rows, all images
        monkeypatch.setitem(upsampled.STRIP_ELEMENTS, "cpu", elements)
        values.append(cross_entropy(logits, labels).item())
    assert values == pytest.approx([values[0]] * 3, rel=1e-14)


def test_without_a_gradient_none_is_made(monkeypatch):
    monkeypatch.setattr(upsampled.Strips, "zeros", None)
    logits, labels = make(GEOMETRIES[0])
    with torch.no_grad():
        assert torch.isfinite(cross_entropy(logits, labels))


@pytest.mark.parametrize("options", [{}, {"align_corners": False}, {"pad_to_grid": False}], ids=str)
def test_it_spreads_as_the_model_does(options):
    model = create_model("deeplabv3", backbone="resnet18", num_classes=3, **options).eval()
    size = (21, 34)
    coarse = torch.randn(1, 3, *(model.grid_size(size)[axis] // 16 + 1 for axis in (0, 1)))
    logits = Upsampled(coarse, size, model.grid_size(size), model.align_corners)
    torch.testing.assert_close(full_size(logits), model.full_size(coarse, size))
    labels = torch.zeros(1, *size, dtype=torch.uint8)
    expected = functional.cross_entropy(model.full_size(coarse, size), labels.long())
    assert cross_entropy(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_it_holds_no_logits_of_every_pixel():
    """The largest tensor that is saved for the backward pass is as large as the coarse logits."""
    logits, labels = make({**GEOMETRIES[0], "size": (65, 97), "grid_size": (65, 97)})
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: saved.append(each.numel()), lambda each: each):
        cross_entropy(logits, labels, hard_pixels=0.5)
    assert saved == [logits.coarse.numel()]
    assert np.prod([*logits.size, NUM_CLASSES, 2]) > 100 * saved[0]
