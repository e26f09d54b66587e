import numpy as np
import pytest
import torch

from deeplab.losses import dice


def test_by_hand():
    # class 0 has p 3/4, 1/2 at its pixel and the other; class 1 has 1/4, 1/2
    logits = torch.tensor([[3 / 4, 1 / 2], [1 / 4, 1 / 2]]).log().view(1, 2, 1, 2)
    scores = [2 * (3 / 4) / (9 / 16 + 1 / 4 + 1), 2 * (1 / 2) / (1 / 16 + 1 / 4 + 1)]
    assert dice(logits, torch.tensor([[[0, 1]]])).item() == pytest.approx(1 - np.mean(scores))


def test_it_is_the_papers_formula_over_the_whole_batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (3, 5, 6), generator=generator)
    labels[1] = 255
    p = logits.softmax(dim=1).numpy()
    counted = (labels != 255).numpy()
    scores = []
    for index in range(4):
        mine, truth = p[:, index][counted], (labels == index).numpy()[counted].astype(float)
        scores.append(2 * (mine * truth).sum() / ((mine**2).sum() + (truth**2).sum()))
    assert dice(logits, labels).item() == pytest.approx(1 - np.mean(scores), rel=1e-12)


def test_a_perfect_prediction_costs_nothing():
    labels = torch.tensor([[[0, 1, 2, 255]]])
    logits = 1e4 * torch.nn.functional.one_hot(labels.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    assert dice(logits, labels) == 0


def test_a_class_without_a_pixel_is_left_out():
    labels = torch.tensor([[[0, 1]]])
    logits = torch.randn(1, 3, 1, 2, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(dim=1)[0, :, 0].numpy()
    scores = [2 * p[index, index] / ((p[index] ** 2).sum() + 1) for index in (0, 1)]
    assert dice(logits, labels).item() == pytest.approx(1 - np.mean(scores), rel=1e-6)
