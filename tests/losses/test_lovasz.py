from itertools import product

import numpy as np
import pytest
import torch

from deeplab.losses import lovasz


def iou_loss(truth, predicted):
    return 1 - (truth & predicted).sum() / (truth | predicted).sum()


@pytest.mark.parametrize("predicted", list(product([0, 1, 2], repeat=4))[::7], ids=str)
def test_where_the_prediction_is_certain_it_is_one_less_the_mean_iou(predicted):
    """The extension equals the set function on its corners (section 2)."""
    labels, predicted = np.array([0, 1, 1, 2]), np.array(predicted)
    logits = 100 * torch.nn.functional.one_hot(torch.from_numpy(predicted), 3).double().T.view(1, 3, 2, 2)
    expected = np.mean([iou_loss(labels == index, predicted == index) for index in range(3)])
    assert lovasz(logits, torch.from_numpy(labels).view(1, 2, 2)).item() == pytest.approx(expected)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_it_is_the_sum_over_growing_sets_of_mistakes(dtype, rounding):
    """Equation 8 of the paper: the errors, largest first, each times what its pixel adds to the loss of the set."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 3, 4, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, 2, (2, 3, 4), generator=generator)  # class 2 has no pixel and is left out
    labels[0, 0] = 255
    counted = (labels != 255).numpy()
    probabilities = logits.double().softmax(dim=1).numpy()
    extensions = []
    for index in (0, 1):
        truth = (labels == index).numpy()[counted]
        errors = np.abs(truth - probabilities[:, index][counted])
        mistakes, before, total = np.zeros_like(truth), 0.0, 0.0
        for pixel in np.argsort(-errors):
            mistakes[pixel] = True
            after = mistakes.sum() / (truth | mistakes).sum()
            total += errors[pixel] * (after - before)
            before = after
        extensions.append(total)
    assert lovasz(logits, labels).item() == pytest.approx(np.mean(extensions), rel=rounding)


def test_logits_that_are_no_numbers_give_a_loss_that_is_none():
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 0, 0, 0] = torch.nan
    assert lovasz(logits, torch.tensor([[[0, 1], [1, 1]]])).isnan()


def test_its_gradient_does_not_cancel_among_many_pixels():
    logits = torch.zeros(1, 2, 300, 300)
    logits[:, 0] = torch.linspace(-1, 1, 300 * 300).view(300, 300)
    labels = torch.zeros(1, 300, 300, dtype=torch.uint8)
    labels[:, ::2] = 1
    single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
    for each in (single, double):
        lovasz(each, labels).backward()
    error = (single.grad - double.grad).abs().max() / double.grad.abs().max()
    assert error < 1e-3  # by differences of neighbours it is 5e-3
