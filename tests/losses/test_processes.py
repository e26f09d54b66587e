"""Two processes with half of a batch each have the loss of the whole, and in the mean its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from deeplab.losses import Upsampled, distillation, weighted_sum

CASES: dict[str, dict[str, Any]] = {
    "cross entropy": {"weights": {"cross_entropy": 1.0}, "label_smoothing": 0.1},
    "weights": {
        "weights": {"cross_entropy": 1.0},
        "class_weights": torch.tensor([1.0, 2.0, 5.0]),
        "divisor": "weights",
    },
    "all": {"weights": {"cross_entropy": 1.0}, "divisor": "all"},
    "hard pixels": {"weights": {"cross_entropy": 1.0, "focal": 0.5}, "hard_pixels": 0.3},
    "dice": {"weights": {"dice": 1.0}},
    "lovasz": {"weights": {"lovasz": 1.0}},
}


def example() -> tuple[Tensor, Tensor]:
    """Logits (4, 3, 5, 6) and labels (4, 5, 6): more ignored pixels in the first half, class 2 in the second only."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 2, (4, 5, 6), generator=generator)
    labels[0] = labels[1, :3] = 255
    labels[3, 2:4] = 2
    return logits, labels


def coarse(logits: Tensor) -> Upsampled:
    """The same logits in the place of those of an image of 9 x 11 pixels."""
    return Upsampled(logits, size=(9, 11), grid_size=(9, 11), align_corners=True)


def losses(logits: Tensor, labels: Tensor, group: Any) -> list[tuple[float, Tensor]]:
    """Value and gradient of every case, of full-size logits and of coarse ones, and of a distillation."""
    large = labels.repeat(1, 2, 2)[:, :9, :11]
    inside = labels != 255
    teacher = (labels[:, None] == torch.arange(3)[:, None, None]).double()

    def with_gradient(loss: Callable[[Tensor], Tensor]) -> tuple[float, Tensor]:
        leaf = logits.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        assert leaf.grad is not None
        return value.item(), leaf.grad

    found = [with_gradient(lambda x: distillation(x, teacher, inside=inside, group=group))]
    for options in CASES.values():
        found.append(with_gradient(lambda x, o=options: weighted_sum(x, labels, group=group, **o)))
        found.append(with_gradient(lambda x, o=options: weighted_sum(coarse(x), large, group=group, **o)))
    return found


@pytest.fixture(scope="module")
def halves(in_processes: Callable[..., list[Any]]) -> list[Any]:
    def half(rank: int) -> list[tuple[float, Any]]:
        distributed.init_process_group("gloo", rank=rank, world_size=2)
        logits, labels = example()
        found = losses(logits[rank::2], labels[rank::2], distributed.group.WORLD)
        distributed.destroy_process_group()
        return [(value, gradient.numpy()) for value, gradient in found]

    return in_processes(half)


NAMES = ["distillation", *(f"{name}, {size}" for name in CASES for size in ("full size", "coarse"))]


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_the_halves_make_the_whole(halves: list[Any], index: int) -> None:
    value, gradient = losses(*example(), None)[index]
    (first, first_gradient), (second, second_gradient) = (half[index] for half in halves)
    rounding = 1e-6 if NAMES[index] == "distillation" else 1e-12  # that one is in float32
    assert first == second == pytest.approx(value, rel=rounding)
    mean = torch.empty_like(gradient)  # as DistributedDataParallel takes it of what the gradients lead to
    mean[0::2], mean[1::2] = torch.from_numpy(first_gradient) / 2, torch.from_numpy(second_gradient) / 2
    assert torch.allclose(mean, gradient, rtol=100 * rounding, atol=rounding / 100)
    assert first_gradient.any()
    assert second_gradient.any()
