import pytest
import torch

from deeplab.errors import UnknownNameError
from deeplab.losses import cross_entropy, dice, focal, lovasz, weighted_sum
from deeplab.settings import LOSSES


def example():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 6, 5), generator=generator)
    labels[:, 0] = 255
    return logits, labels


def test_it_is_the_sum_of_weight_times_loss():
    logits, labels = example()
    weights = {"cross_entropy": 1.0, "focal": 2.0, "dice": 0.5, "lovasz": 0.25}
    by_pixel = {"class_weights": torch.tensor([0.5, 1.0, 2.0]), "hard_pixels": 0.5, "divisor": "weights"}
    expected = (
        cross_entropy(logits, labels, label_smoothing=0.1, **by_pixel)
        + 2 * focal(logits, labels, gamma=3.0, **by_pixel)
        + 0.5 * dice(logits, labels)
        + 0.25 * lovasz(logits, labels)
    )
    options = {"label_smoothing": 0.1, "focal_gamma": 3.0, **by_pixel}
    assert weighted_sum(logits, labels, weights=weights, **options).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", LOSSES)
def test_every_name_that_the_settings_know_is_a_loss(name):
    logits, labels = example()
    assert weighted_sum(logits, labels, weights={name: 1.0}) > 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_ignores_the_value_that_it_is_told_to(name):
    logits, labels = example()
    other = labels.masked_fill(labels == 255, 65535)
    loss = weighted_sum(logits, other, weights={name: 1.0}, ignore_index=65535)
    assert loss == weighted_sum(logits, labels, weights={name: 1.0})


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="no loss 'dise'; did you mean dice"):
        weighted_sum(*example(), weights={"dise": 1.0})
