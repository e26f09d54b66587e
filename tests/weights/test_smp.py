from __future__ import annotations

import pytest

from deeplab.weights import smp


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_smp/deeplabv3plus_resnet50_os16")


@pytest.mark.parametrize("run", ["dogs_64x64", "harbour_96x128"])
def test_logits_are_those_of_that_library(case, run):
    assert case.difference(smp.from_state(case.state, what="golden").model, run, full_size=True) < 2e-4
