from __future__ import annotations

import pytest

from deeplab.weights import smp


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_smp/deeplabv3plus_resnet50_os16")


@pytest.mark.parametrize("run", ["dogs_64x64", "harbour_96x128"])
def test_logits_are_those_of_that_library(case, run):
    model = smp.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, full_size=True) < 2e-4
