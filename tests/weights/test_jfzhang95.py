from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deeplab.layers import Prepare
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


MOBILENETV2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenetv2_shapes(num_classes):
    """That project's names, as its modeling/backbone/mobilenet.py makes them; the rest is as on ResNet."""
    convs = {"backbone.features.0.0": (32, 3, 3, 3)}
    channels, index = 32, 0
    for expansion, width, count, _ in MOBILENETV2:
        for _ in range(count):
            index, hidden = index + 1, channels * expansion
            layers = [(hidden, channels, 1, 1)] if expansion > 1 else []
            layers += [(hidden, 1, 3, 3), (width, hidden, 1, 1)]
            convs |= {f"backbone.features.{index}.conv.{3 * place}": shape for place, shape in enumerate(layers)}
            channels = width
    norms = {name: f"{name.rpartition('.')[0]}.{int(name.rpartition('.')[2]) + 1}" for name in convs}
    convs |= {f"aspp.aspp{branch}.atrous_conv": (256, 320, *[1 if branch == 1 else 3] * 2) for branch in (1, 2, 3, 4)}
    norms |= {f"aspp.aspp{branch}.atrous_conv": f"aspp.aspp{branch}.bn" for branch in (1, 2, 3, 4)}
    for conv, norm, shape in (
        ("aspp.global_avg_pool.1", "aspp.global_avg_pool.2", (256, 320, 1, 1)),
        ("aspp.conv1", "aspp.bn1", (256, 1280, 1, 1)),
        ("decoder.conv1", "decoder.bn1", (48, 24, 1, 1)),
        ("decoder.last_conv.0", "decoder.last_conv.1", (256, 304, 3, 3)),
        ("decoder.last_conv.4", "decoder.last_conv.5", (256, 256, 3, 3)),
    ):
        convs[conv], norms[conv] = shape, norm
    shapes = {f"{name}.weight": shape for name, shape in convs.items()}
    for conv, norm in norms.items():
        shapes |= {f"{norm}.{part}": convs[conv][:1] for part in ("weight", "bias", "running_mean", "running_var")}
    last = {"decoder.last_conv.8.weight": (num_classes, 256, 1, 1), "decoder.last_conv.8.bias": (num_classes,)}
    return shapes | last, norms


def mobilenetv2_logits(state, norms, image):
    """What that project computes at output stride 16, written down once more."""

    def layer(name, x, act=F.relu, **options):
        norm = norms[name]
        statistics = [state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return act(F.batch_norm(F.conv2d(x, state[f"{name}.weight"], **options), *statistics))

    x, index, stride = layer("backbone.features.0.0", image, F.relu6, stride=2, padding=1), 0, 2
    rate = 1
    for expansion, width, count, step in MOBILENETV2:
        dilation = rate if stride == 16 else 1
        stride, step, rate = (16, 1, rate * step) if stride == 16 else (stride * step, step, rate)
        for block in range(count):
            index += 1
            name, out = f"backbone.features.{index}.conv.", F.pad(x, [dilation] * 4)
            if expansion > 1:
                out = layer(f"{name}0", out, F.relu6)
            place, groups = (3 if expansion > 1 else 0), out.shape[1]
            moved = step if block == 0 else 1
            out = layer(f"{name}{place}", out, F.relu6, stride=moved, dilation=dilation, groups=groups)
            out = layer(f"{name}{place + 3}", out, lambda x: x)
            x = x + out if moved == 1 and x.shape[1] == width else out
        if width == 24:
            detail = x
    branches = [layer("aspp.aspp1.atrous_conv", x)]
    branches += [
        layer(f"aspp.aspp{branch}.atrous_conv", x, padding=rate, dilation=rate)
        for branch, rate in ((2, 6), (3, 12), (4, 18))
    ]
    pooled = layer("aspp.global_avg_pool.1", x.mean(dim=(2, 3), keepdim=True)).expand_as(branches[0])
    x = layer("aspp.conv1", torch.cat([*branches, pooled], dim=1))
    detail = layer("decoder.conv1", detail)
    x = F.interpolate(x, size=detail.shape[2:], mode="bilinear", align_corners=True)
    x = layer("decoder.last_conv.0", torch.cat([x, detail], dim=1), padding=1)
    x = layer("decoder.last_conv.4", x, padding=1)
    x = F.conv2d(x, state["decoder.last_conv.8.weight"], state["decoder.last_conv.8.bias"])
    return F.interpolate(x, size=image.shape[2:], mode="bilinear", align_corners=True)


@torch.inference_mode()
def test_the_network_on_mobilenetv2_computes_what_that_project_s_code_says(seeded):
    shapes, norms = mobilenetv2_shapes(5)
    state = {name: torch.from_numpy(array) for name, array in seeded.state(shapes).items()}
    image = torch.from_numpy(seeded.picture(96, 130))
    expected = mobilenetv2_logits(state, norms, image)
    twice = {name.replace("features", "low_level_features"): tensor for name, tensor in state.items()}
    model = jfzhang95.source.from_tensors(twice | state, what="test").checkpoint.model
    model.prepare = Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
    assert (model(image) - expected).abs().max() / expected.std() < 2e-4
