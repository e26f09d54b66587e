import pytest
import torch

from deeplab.models import create_model
from deeplab.training.cost import SIDE, cost_of


@pytest.fixture(scope="module")
def model():
    return create_model("deeplabv3plus", backbone="mobilenetv2", num_classes=4).eval()


def test_multiply_adds_are_outputs_times_what_each_of_them_reads(model):
    """Two classes more are 2 x 256 weights in the last 1 x 1, read at each place of stride 4."""
    fewer = create_model("deeplabv3plus", backbone="mobilenetv2", num_classes=2).eval()
    difference = cost_of(model).multiply_adds - cost_of(fewer).multiply_adds
    assert difference * SIDE**2 == pytest.approx(2 * 256 * ((SIDE - 1) // 4 + 1) ** 2)


def test_memory_holds_at_least_the_output_of_every_convolution(model):
    values = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: values.append(output.numel()))
        for layer in model.modules()
        if isinstance(layer, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        model(torch.zeros(1, 3, SIDE, SIDE))
    for hook in hooks:
        hook.remove()
    memory = cost_of(model).memory * SIDE**2
    assert 4 * sum(values) < memory < 4 * 4 * sum(values)


def test_the_model_is_left_as_it_is(model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    cost = cost_of(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert cost.weights == sum(4 * parameter.numel() for parameter in model.parameters())
    assert not any(layer._forward_hooks for layer in model.modules())
