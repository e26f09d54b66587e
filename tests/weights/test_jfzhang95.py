from __future__ import annotations

import pytest

from deeplab.weights import jfzhang95


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_jfzhang95/deeplab_resnet_os16")


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129"])
def test_logits_are_those_of_that_project(case, run):
    model = jfzhang95.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, full_size=True) < 2e-4


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129"])
def test_the_network_on_xception_gives_its_logits(golden, run):
    case = golden("torch_jfzhang95/deeplab_xception_os16")
    model = jfzhang95.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, full_size=True) < 2e-4
