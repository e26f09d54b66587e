import json
import math

import numpy as np
import pytest
import torch

from deeplab.losses import Upsampled, cross_entropy, full_size


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


def test_counted_pixels_that_cost_nothing_are_not_among_the_hard_ones():
    logits = torch.tensor([[0.0, 1e4, 1e4, 1e4], [0.0, 0.0, 0.0, 0.0]]).view(1, 2, 1, 4)
    loss = cross_entropy(logits, torch.zeros(1, 1, 4, dtype=torch.long), hard_pixels=0.75)
    assert loss.item() == pytest.approx(math.log(2))  # not a third of it


def test_half_precision_logits_give_a_float32_loss():
    loss = cross_entropy(torch.zeros(1, 2, 1, 1, dtype=torch.bfloat16), torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("divisor", "expected"),
    [
        ("counted", (1 + 3) * math.log(2) / 2),
        ("weights", math.log(2)),  # PyTorch's mean
        ("all", (1 + 3) * math.log(2) / 3),  # detectron2
    ],
)
def test_the_sum_is_divided_by_what_is_named(divisor, expected):
    labels = torch.tensor([[[0, 1, 255]]])
    logits, weights = torch.zeros(1, 2, 1, 3), torch.tensor([1.0, 3.0])
    loss = cross_entropy(logits, labels, class_weights=weights, divisor=divisor)
    assert loss.item() == pytest.approx(expected)


def test_divided_by_weights_it_is_the_mean_of_torch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0] = 255
    options = {"label_smoothing": 0.2, "ignore_index": 255}
    weights = torch.tensor([0.5, 1.0, 2.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights, **options)
    assert cross_entropy(logits, labels, class_weights=weights, divisor="weights", **options).item() == pytest.approx(
        expected.item()
    )


def test_divided_by_weights_only_their_proportions_count():
    logits, labels = torch.tensor([[1.0, 2.0], [0.0, 0.5]]).view(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    small, large = (
        cross_entropy(logits, labels, class_weights=scale * torch.tensor([1.0, 3.0]), divisor="weights")
        for scale in (0.01, 100)
    )
    assert small.item() == pytest.approx(large.item())


def test_detectron2_divides_the_hard_pixels_by_their_number():
    labels = torch.full((1, 1, 4), 255)
    labels[..., 0] = 0
    loss = cross_entropy(torch.zeros(1, 2, 1, 4), labels, hard_pixels=0.5, divisor="all")
    assert loss.item() == pytest.approx(math.log(2) / 2)  # its second hardest is an ignored one


@pytest.mark.parametrize("case", ["plain", "class_weights", "top_k_0.25", "top_k_0.15_weights", "all_ignored"])
@pytest.mark.parametrize("coarse", [True, False], ids=["in strips", "full size"])
def test_loss_and_gradient_are_those_of_the_official_code(shared, case, coarse):
    folder = shared / "golden" / "tf_train" / "losses"
    facts = json.loads((folder / "case.json").read_text())["cases"][case]
    data = np.load(folder / "data.npz")
    logits = torch.from_numpy(data["logits"]).permute(0, 3, 1, 2).requires_grad_()
    labels = torch.from_numpy(data["labels"][..., 0]).clone()
    if facts["ignore_all"]:
        labels.fill_(255)
    weights = facts["kwargs"].get("loss_weight")
    enlarged = Upsampled(logits, size=(65, 49), grid_size=(65, 49), align_corners=True)
    loss = cross_entropy(
        enlarged if coarse else full_size(enlarged),
        labels,
        class_weights=None if weights is None else torch.tensor(weights),
        hard_pixels=facts["kwargs"].get("top_k_percent_pixels", 1.0),
    )
    loss.backward()
    gradient = data[f"grad_{case}"].transpose(0, 3, 1, 2)
    assert loss.item() == pytest.approx(facts["total"], rel=3e-7)
    np.testing.assert_allclose(logits.grad, gradient, rtol=0, atol=1e-6 * max(abs(gradient).max(), 1e-9))
