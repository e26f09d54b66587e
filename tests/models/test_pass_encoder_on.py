import pytest
import torch

from deeplab.layers import resize
from deeplab.models import create_model
from deeplab.weights.batchnorm import recalibrate_batchnorm


@pytest.mark.parametrize("options", [{}, {"decoder_separable": False}, {"decoder_convs": 1}])
def test_a_new_decoder_passes_on_what_the_encoder_gives(options):
    torch.manual_seed(0)
    model = create_model("deeplabv3plus", backbone="resnet18", num_classes=3, **options).eval()
    assert model.pass_encoder_on()
    images = torch.rand(8, 3, 65, 65)
    with torch.inference_mode():
        features = model.backbone(images)
        given = model.aspp(features.res5)
        passed = model.decoder[0](given, features, align_corners=model.align_corners)
        wanted = resize(given, passed.shape[-2:], align_corners=model.align_corners)
    correlation = torch.corrcoef(torch.stack([passed.flatten(), wanted.flatten()]))[0, 1]
    assert correlation > 0.9
    recalibrate_batchnorm(model, [images])


def test_a_decoder_of_another_form_or_width_stays_as_it_is():
    for options in ({"decoder_merge": "sum"}, {"decoder_channels": 64}):
        model = create_model("deeplabv3plus", backbone="resnet18", **options)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        assert not model.pass_encoder_on()
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
