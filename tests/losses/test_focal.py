import math

import pytest
import torch

from deeplab.losses import cross_entropy, focal


def example():
    """Probabilities 1/4, 1/2 and 3/4 of the true class, and an ignored pixel."""
    right = torch.tensor([1 / 4, 1 / 2, 3 / 4, 1 / 2], dtype=torch.float64)
    logits = torch.stack([right, 1 - right]).log().view(1, 2, 1, 4)
    return logits, torch.tensor([[[0, 0, 0, 255]]])


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_each_pixel_is_weighed_by_what_its_probability_lacks(gamma):
    logits, labels = example()
    expected = sum((1 - p) ** gamma * -math.log(p) for p in (1 / 4, 1 / 2, 3 / 4)) / 3
    assert focal(logits, labels, gamma=gamma).item() == pytest.approx(expected, rel=1e-7)


def test_class_weights_are_its_alpha():
    logits, labels = example()
    weighted = focal(logits, labels, class_weights=torch.tensor([0.25, 1.0]))
    assert weighted.item() == pytest.approx(0.25 * focal(logits, labels).item())


def test_without_gamma_it_is_cross_entropy():
    logits, labels = example()
    assert focal(logits, labels, gamma=0) == cross_entropy(logits, labels)


def test_a_pixel_that_is_certainly_right_has_a_finite_gradient_for_any_gamma():
    logits = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1).requires_grad_()
    focal(logits, torch.zeros(1, 1, 1, dtype=torch.long), gamma=0.3).backward()
    assert torch.isfinite(logits.grad).all()
