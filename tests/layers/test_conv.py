from __future__ import annotations

import pytest
import torch
from torch import nn

from deeplab.errors import SettingsError
from deeplab.layers import (
    BatchNorm,
    BatchNormAct,
    Classify,
    ConvNormAct,
    MaxPool,
    PaddedConv,
    SeparableConv,
    use_group_norm,
    use_sync_norm,
)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 224, 225])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_both_padding_rules_keep_ceil_of_size_over_stride(size, padding):
    conv = PaddedConv(1, 1, 3, stride=2, padding=padding)
    assert conv(torch.zeros(1, 1, size, size)).shape[-2:] == (-(-size // 2),) * 2


def test_same_puts_the_odd_pixel_after_and_symmetric_before():
    taps = torch.arange(9.0).reshape(1, 1, 3, 3)
    image = torch.zeros(1, 1, 4, 4)
    image[..., 0, 0] = 1  # seen by the tap that lies on it: the first without padding before, the centre with it
    seen = {}
    for padding in ("same", "symmetric"):
        conv = PaddedConv(1, 1, 3, stride=2, padding=padding)
        conv.weight.data.copy_(taps)
        seen[padding] = conv(image)[0, 0, 0, 0].item()
    assert seen == {"same": 0, "symmetric": 4}


@pytest.mark.parametrize("size", [1, 2, 7, 8])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_a_1x1_with_a_stride_takes_every_second_pixel_from_the_first_on(size, padding):
    image = torch.arange(float(size)).expand(1, 1, size, size)
    conv = PaddedConv(1, 1, 1, stride=2, padding=padding)
    conv.weight.data.fill_(1)
    torch.testing.assert_close(conv(image), image[..., ::2, ::2])


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": 2, "padding": "same"}], ids=str)
def test_rows_and_columns_have_their_own_dilation(options):
    conv = PaddedConv(1, 1, 3, dilation=(1, 4), **options)
    stride = options.get("stride", 1)
    assert conv(torch.zeros(1, 1, 9, 14)).shape[-2:] == (-(-9 // stride), -(-14 // stride))


def test_max_pool_follows_the_padding_rules():
    row = torch.arange(-6.0, 0).reshape(1, 1, 1, 6)  # negative: padding by zeros would show
    assert MaxPool(padding="same")(row).flatten().tolist() == [-4, -2, -1]
    assert MaxPool(padding="symmetric")(row).flatten().tolist() == [-5, -3, -1]
    assert MaxPool(padding="caffe")(row).flatten().tolist() == [-5, -3, -1, -1]


@pytest.mark.parametrize("padding", ["symmetric", "same", "caffe"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_max_pool_at_stride_1_keeps_the_size(padding, dilation):
    assert MaxPool(stride=1, dilation=dilation, padding=padding)(torch.zeros(1, 1, 7, 8)).shape == (1, 1, 7, 8)


@pytest.mark.parametrize("size", [9, 17, 33])
def test_the_padding_rules_agree_at_odd_sizes(size):
    torch.manual_seed(0)
    image = torch.randn(1, 3, size, size)
    same, symmetric = (PaddedConv(3, 4, 3, stride=2, padding=rule) for rule in ("same", "symmetric"))
    same.load_state_dict(symmetric.state_dict())
    torch.testing.assert_close(same(image), symmetric(image))


def test_batchnorm_of_one_value_per_channel_uses_and_keeps_the_running_statistics():
    norm = BatchNorm(2).train()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    out = norm(torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1))
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 1.0]), atol=1e-4, rtol=0)  # eps is 1e-5
    assert norm.running_mean.tolist() == [1, 2]


def test_batchnorm_of_one_pixel_of_several_images_uses_and_learns_their_statistics():
    norm = BatchNorm(1, momentum=1.0).train()
    out = norm(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1))
    torch.testing.assert_close(out.flatten(), torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)  # eps is 1e-5
    assert norm.running_mean.tolist() == [2]


def test_activations_bound_as_they_say():
    x = torch.full((1, 1, 1, 1), 100.0)
    bounded, unbounded = (ConvNormAct(1, 1, 1, act=act).eval() for act in ("relu6", "relu"))
    unbounded.load_state_dict(bounded.state_dict())
    bounded.conv.weight.data.fill_(1)
    unbounded.conv.weight.data.fill_(1)
    assert bounded(x).item() == 6
    assert unbounded(x).item() == pytest.approx(100, rel=1e-4)


def test_clip_keeps_what_is_in_minus_6_to_6():
    conv = ConvNormAct(1, 1, 1, act="clip").eval()
    conv.conv.weight.data.fill_(1)
    x = torch.tensor([-100.0, -1.0, 100.0]).reshape(1, 1, 1, 3)
    torch.testing.assert_close(conv(x).flatten(), torch.tensor([-6.0, -1.0, 6.0]), rtol=1e-4, atol=0)


def test_filters_begin_with_the_standard_deviations_of_the_official_code():
    torch.manual_seed(0)
    separable = SeparableConv(512, 512)
    for filters, wanted in (
        (separable.depthwise.conv.weight, 0.33),
        (separable.pointwise.conv.weight, 0.06),
        (Classify(512, 21).weight, 0.01),
        (ConvNormAct(32, 64, 3).conv.weight, (2 / (64 * 9)) ** 0.5),  # He et al. 2015
        (ConvNormAct(512, 512, 3, groups=512).conv.weight, (2 / 9) ** 0.5),
    ):
        assert filters.std().item() == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"), [(3, 1, 1), (5, 1, 2), (3, 2, 1), (5, 2, 1), (3, 1, 7), (3, 1, (1, 6))]
)
@pytest.mark.parametrize("size", [(1, 1), (6, 9), (14, 5)])
def test_depthwise_gradients_in_training_are_those_of_any_convolution(padding, kernel_size, stride, dilation, size):
    torch.manual_seed(0)
    conv = PaddedConv(4, 4, kernel_size, stride=stride, dilation=dilation, groups=4, padding=padding).double()
    image = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    found = {}
    for training in (True, False):  # evaluation takes PyTorch's own way
        out = conv.train(training)(image)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        found[training] = (out, *torch.autograd.grad((out * weights).sum(), (image, conv.weight)))
    for ours, theirs in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("options", [{"out_channels": 4, "bias": True}, {"out_channels": 8}], ids=str)
def test_a_depthwise_convolution_trains_with_a_bias_and_with_several_filters_for_each_channel(options):
    conv = PaddedConv(4, kernel_size=3, groups=4, **options)
    image = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = {}
    for training in (True, False):
        out = conv.train(training)(image)
        found[training] = (out, *torch.autograd.grad(out.square().sum(), (image, *conv.parameters())))
    for ours, theirs in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_groups_of_several_channels_train_as_any_convolution():
    conv = PaddedConv(8, 4, 3, groups=4).train()
    image = torch.randn(1, 8, 5, 5, requires_grad=True)
    conv(image).sum().backward()
    assert image.grad.shape == image.shape


def test_depthwise_gradients_under_autocast_come_in_the_type_of_the_parameters():
    torch.manual_seed(0)
    conv = PaddedConv(8, 8, 3, groups=8).train()
    image = torch.randn(2, 8, 9, 9, requires_grad=True)
    exact = torch.autograd.grad(conv(image).sum(), (image, conv.weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(image)
    assert out.dtype == torch.bfloat16
    rough = torch.autograd.grad(out.sum(), (image, conv.weight))
    for ours, theirs in zip(rough, exact, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.1)


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (19, 1), (24, 4), (32, 16), (48, 8), (64, 32), (728, 4)])
def test_group_norm_has_groups_of_two_channels_or_more(channels, groups):
    network = nn.Sequential(nn.Conv2d(3, channels, 1), nn.BatchNorm2d(channels, eps=1e-3))
    use_group_norm(network)
    assert isinstance(network[1], nn.GroupNorm)
    assert (network[1].num_groups, network[1].eps) == (groups, 1e-3)


def test_group_norm_keeps_the_activation_that_is_in_a_norm():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct(4, act=nn.ReLU()))
    names = [name for name, _ in network.named_parameters()]
    use_group_norm(network)
    assert [name for name, _ in network.named_parameters()] == names
    assert network(torch.randn(1, 3, 5, 5)).min() == 0


def test_group_norm_takes_no_place_of_more_than_batch_norm():
    class NormAndMore(nn.BatchNorm2d):
        pass

    with pytest.raises(SettingsError, match=r"cannot take the place of NormAndMore; .*--batch-norm train"):
        use_group_norm(nn.Sequential(NormAndMore(3)))


def test_statistics_of_all_processes_leave_the_activation_in_a_layer():
    network = nn.Sequential(BatchNorm(4), BatchNormAct(4, act=nn.ReLU()), nn.Sequential(nn.BatchNorm2d(4)))
    for norm in (network[0], network[1], network[2][0]):
        nn.init.normal_(norm.bias)
    image, state = torch.randn(2, 4, 8, 8), network.state_dict()
    expected = network.eval()(image)
    use_sync_norm(network)
    use_sync_norm(network)  # which changes nothing
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in network.modules()) == 3
    assert list(network.state_dict()) == list(state)
    torch.testing.assert_close(network(image), expected)
