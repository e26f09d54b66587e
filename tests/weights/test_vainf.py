from __future__ import annotations

import pytest

from deeplab.weights import vainf


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_vainf/deeplabv3plus_resnet50_os16")


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129"])
def test_logits_are_those_of_that_project(case, run):
    model = vainf.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, full_size=True) < 2e-4
