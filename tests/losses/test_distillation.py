import math

import pytest
import torch

from deeplab.losses import distillation


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


def test_what_lies_in_the_padding_may_be_no_number():
    inside = torch.tensor([[[True, False]]])
    probabilities = torch.full((1, 2, 1, 2), 0.5).masked_fill(~inside, torch.nan)
    assert distillation(torch.zeros(1, 2, 1, 2), probabilities, inside=inside) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_are_compared_in_float32(dtype):
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    loss = distillation(logits, logits.float().softmax(dim=1), inside=torch.ones(1, 4, 4, dtype=torch.bool))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0, abs=1e-6)
