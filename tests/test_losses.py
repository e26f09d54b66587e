import math

import pytest
import torch

from deeplab.losses import cross_entropy, distillation


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    loss = cross_entropy(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8))
    assert loss.item() == pytest.approx(math.log(4))


def test_ignored_pixels_count_neither_in_the_sum_nor_in_the_number():
    logits = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.ones(2, 5, 5, dtype=torch.uint8)
    labels[1] = 255
    assert cross_entropy(logits, labels) == cross_entropy(logits[:1], labels[:1])


def test_all_ignored_costs_zero_and_has_a_zero_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), 255), class_weights=torch.ones(3), label_smoothing=0.1)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_class_weights_weigh_the_sum_but_not_the_number():
    labels = torch.tensor([[[0, 1]]])
    loss = cross_entropy(torch.zeros(1, 2, 1, 2), labels, class_weights=torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx((1 + 3) * math.log(2) / 2)


def test_smoothing_spreads_its_share_over_all_classes_of_the_counted_pixels():
    # probabilities (3/4, 1/4) at both pixels, target (0.9, 0.1) at the first; the second is ignored
    logits = torch.tensor([math.log(3), 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    loss = cross_entropy(logits, torch.tensor([[[0, 255]]]), label_smoothing=0.2)
    assert loss.item() == pytest.approx(-0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4))


def hard_pixels_example():
    """Losses log 4, log 2, log 4/3 and, ignored, 0 of four pixels with two classes."""
    right = torch.tensor([1 / 4, 1 / 2, 3 / 4, 1 / 2])
    logits = torch.stack([right, 1 - right]).log().view(1, 2, 1, 4)
    return logits, torch.tensor([[[0, 0, 0, 255]]])


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.25, math.log(4)),
        (0.5, (math.log(4) + math.log(2)) / 2),
        (0.9, (math.log(4) + math.log(2) + math.log(4 / 3)) / 3),  # 3 of 4, the ignored one counted among the 4
        (0.01, math.log(4)),  # at least one pixel
    ],
)
def test_only_the_hardest_share_of_all_pixels_counts(share, expected):
    logits, labels = hard_pixels_example()
    assert cross_entropy(logits, labels, hard_pixels=share).item() == pytest.approx(expected)


def test_hard_pixels_without_a_loss_are_not_counted():
    labels = torch.full((1, 1, 4), 255)
    labels[..., 0] = 0
    loss = cross_entropy(torch.zeros(1, 2, 1, 4), labels, hard_pixels=0.99)
    assert loss.item() == pytest.approx(math.log(2))  # the two ignored ones of the three hardest do not dilute it
    assert cross_entropy(torch.zeros(1, 2, 1, 4), torch.full((1, 1, 4), 255), hard_pixels=0.5) == 0


def test_half_precision_logits_give_a_float32_loss():
    loss = cross_entropy(torch.zeros(1, 2, 1, 1, dtype=torch.bfloat16), torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert loss.dtype == torch.float32


def test_a_student_that_equals_its_teacher_costs_nothing():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    inside = torch.ones(2, 4, 4, dtype=torch.bool)
    assert distillation(logits, logits.softmax(dim=1), inside=inside).item() == pytest.approx(0, abs=1e-6)


def test_distillation_by_hand():
    # teacher (1, 0), student (1/2, 1/2): 1 x log(1 / (1/2)) = log 2
    loss = distillation(
        torch.zeros(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), inside=torch.ones(1, 1, 1).bool()
    )
    assert loss.item() == pytest.approx(math.log(2))


def test_distillation_leaves_the_padding_out():
    probabilities = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2).clone()
    inside = torch.tensor([[[True, False], [False, False]]])
    logits = torch.zeros(1, 2, 2, 2)
    assert distillation(logits, probabilities, inside=inside).item() == pytest.approx(math.log(2))
    assert distillation(logits, probabilities, inside=torch.zeros_like(inside)) == 0
