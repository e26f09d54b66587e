from __future__ import annotations

import pytest
import torch

from deeplab.errors import SettingsError
from deeplab.layers import ASPP, ATROUS_RATES
from deeplab.layers.aspp import pooling_window


def test_halving_the_output_stride_doubles_the_rates():
    for stride in (8, 16, 32):
        assert tuple(2 * rate for rate in ATROUS_RATES[stride]) == ATROUS_RATES[stride // 2]


def test_no_rates_give_the_light_head_of_two_branches():
    aspp = ASPP(8, channels=4, atrous_rates=())
    assert aspp.project.conv.in_channels == 2 * 4


def test_a_rate_below_one_is_refused():
    with pytest.raises(SettingsError, match=r"at least 1, got \(6, 0\)"):
        ASPP(3, channels=2, atrous_rates=(6, 0))


def test_image_pooling_comes_first_in_the_concatenation():
    aspp = ASPP(3, channels=2, atrous_rates=(1,), dropout=0).eval()
    seen = []
    aspp.project.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    aspp(torch.randn(1, 3, 5, 5))
    pooled = seen[0][0, :2].flatten(1)
    assert (pooled == pooled[:, :1]).all()  # one value all over the image
    assert not (seen[0][0, 2:].flatten(1).std(dim=1) == 0).any()


def test_the_last_layer_can_look_at_its_neighbours():
    assert ASPP(3, channels=2, project_kernel_size=3).project.conv.weight.shape == (2, 5 * 2, 3, 3)
    with pytest.raises(SettingsError, match="wants 1 or 3, got 2"):
        ASPP(3, channels=2, project_kernel_size=2)


def test_a_single_image_trains():
    aspp = ASPP(3, channels=2, atrous_rates=(1,)).train()
    assert aspp(torch.randn(1, 3, 5, 5)).shape == (1, 2, 5, 5)


def test_a_window_as_large_as_the_image_is_the_mean_of_all():
    torch.manual_seed(0)
    whole, window = ASPP(3, channels=2).eval(), ASPP(3, channels=2, pooling_window=(9, 9)).eval()
    window.load_state_dict(whole.state_dict())
    x = torch.randn(1, 3, 5, 7)
    torch.testing.assert_close(window(x), whole(x))


def test_a_crop_of_one_number_is_refused():
    with pytest.raises(SettingsError, match="wants height and width"):
        pooling_window((65,), 16)
    assert pooling_window((513, 769), 16) == (33, 49)


def test_windows_lie_a_stride_apart():
    aspp = ASPP(3, channels=2, atrous_rates=(), pooling_window=(3, 3), pooling_stride=(4, 5)).eval()
    seen = []
    aspp.image_pooling.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 3, 9, 13)
    assert aspp(x).shape == (1, 2, 9, 13)
    assert seen[0].shape == (1, 3, 2, 3)
    torch.testing.assert_close(seen[0][0, :, 1, 2], x[0, :, 4:7, 10:13].mean(dim=(1, 2)))


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_squeeze_excite_multiplies_by_what_image_pooling_gives(gate):
    torch.manual_seed(0)
    aspp = ASPP(3, channels=2, atrous_rates=(), project=False, squeeze_excite=gate).eval()
    x = torch.randn(1, 3, 5, 5)
    scale = aspp.image_scaling[0](x.mean(dim=(2, 3), keepdim=True))
    scale = torch.sigmoid(scale) if gate == "sigmoid" else (scale + 3).clamp(0, 6) * 0.16667
    torch.testing.assert_close(aspp(x), aspp.pointwise(x) * scale)


def test_without_projection_the_branches_stay_beside_each_other():
    aspp = ASPP(3, channels=2, atrous_rates=(1, 2), project=False).eval()
    assert aspp.out_channels == 4 * 2
    assert aspp(torch.randn(1, 3, 5, 5)).shape == (1, 8, 5, 5)


def test_without_projection_nothing_is_dropped():
    aspp = ASPP(3, channels=2, atrous_rates=(1,), project=False, dropout=0.5).train()
    x = torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(aspp(x), aspp(x))


def test_options_that_cannot_go_together_are_refused():
    with pytest.raises(SettingsError, match="squeeze_excite wants image_pooling"):
        ASPP(3, channels=2, image_pooling=False, squeeze_excite="sigmoid")
    with pytest.raises(SettingsError, match="image_pooling_stride wants"):
        ASPP(3, channels=2, pooling_stride=(0, 1))


def test_windows_are_resized_edge_to_edge_where_that_is_wanted():
    torch.manual_seed(0)
    options = {"channels": 2, "atrous_rates": (), "pooling_window": (3, 3), "pooling_norm": False}
    corners, edges = ASPP(3, **options).eval(), ASPP(3, **options, pooling_align_corners=False).eval()
    edges.load_state_dict(corners.state_dict())
    x = torch.randn(1, 3, 9, 9)
    pooled = edges.image_pooling(torch.nn.functional.avg_pool2d(x, 3, stride=1))
    expected = torch.nn.functional.interpolate(pooled, size=(9, 9), mode="bilinear", align_corners=False)
    seen = []
    edges.project.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert not torch.equal(edges(x), corners(x))
    torch.testing.assert_close(seen[0][:, :2], expected)
