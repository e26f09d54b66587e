from dataclasses import replace

import numpy as np
import pytest
import torch

from deeplab.errors import CheckpointError
from deeplab.inference.multiscale import mean_probabilities
from deeplab.inference.multiscale import views as views_of
from deeplab.inference.torch_network import TorchNetwork
from deeplab.kernels import upsample_argmax_gpu


def centres(length):
    return (np.arange(length) + 0.5) / length


def views(network, images, **options):
    return views_of(TorchNetwork(network, device=torch.device("cpu")), images, **options)


def probabilities(seen, size):
    strips = [strip for _, strip in mean_probabilities(seen, centres(size[0]), centres(size[1]))]
    return torch.from_numpy(np.concatenate(strips, axis=1))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(24, 32), (25, 33), (23, 41), (1, 1), (2, 1)])
def test_one_view_gives_the_softmax_of_the_model(local_network, noise, size, align_corners):
    network = local_network(align_corners=align_corners)
    image = noise(*size)
    (seen,) = views(network, [image], size=size)
    expected = network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0].softmax(dim=0)
    torch.testing.assert_close(probabilities(seen, size), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("width", [31, 32, 33])
def test_a_mirrored_image_gives_the_mirrored_probabilities(local_network, noise, width, align_corners):
    network = local_network(align_corners=align_corners)
    image, size = noise(29, width), (29, width)
    seen, mirrored = views(network, [image, image[:, ::-1]], size=size, scales=(0.5, 1, 1.5), flip=True)
    expected = probabilities(mirrored, size).flip(-1)
    torch.testing.assert_close(probabilities(seen, size), expected, rtol=1e-5, atol=1e-5)


def test_a_flipped_view_shows_the_pixels_where_they_are(local_network, noise):
    network = local_network(stride=1)
    size = (7, 10)
    (seen,) = views(network, [noise(*size)], size=size, flip=True)
    torch.testing.assert_close(probabilities(seen[1:], size), probabilities(seen[:1], size))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("scale", [0.5, 2])
def test_a_scaled_view_shows_the_pixels_where_they_are(local_network, scale, align_corners):
    network, size = local_network(num_classes=2, align_corners=align_corners), (33, 101)
    network.weight[:] = torch.tensor([-30.0, 30.0])[:, None, None, None]
    image = np.zeros((*size, 3), np.uint8)
    image[:, 40:] = 255
    (seen,) = views(network, [image], size=size, scales=(scale,))
    (edge,) = {row.argmax() for row in probabilities(seen, size).argmax(dim=0).numpy()}
    assert abs(edge - 40) <= 2 * 4 / scale  # two steps of the network's stride


def test_the_mean_is_of_probabilities_and_sums_to_one(local_network, noise):
    size = (20, 30)
    (seen,) = views(local_network(), [noise(*size)], size=size, scales=(0.75, 1.25), flip=True)
    mean = torch.stack([probabilities([view], size) for view in seen]).mean(dim=0)
    torch.testing.assert_close(probabilities(seen, size), mean)
    torch.testing.assert_close(mean.sum(dim=0), torch.ones(size))


def test_every_scale_and_its_mirror_image_is_shown_to_the_network(local_network, noise):
    network = local_network()
    views(network, [noise(65, 129)] * 3, size=(65, 129), scales=(0.5, 1, 2), flip=True)
    sizes = [(33, 65), (65, 129), (129, 257)]  # k * stride + 1 stays of that form
    assert network.calls == [(3, 3, *size) for size in sizes for _ in range(2)]


def test_the_size_at_a_scale_is_rounded_to_the_nearest(local_network, noise):
    network = local_network()
    views(network, [noise(101, 52)], size=(101, 52), scales=(0.29, 0.75))  # in floats, 100 x 0.29 is below 29
    assert [shape[2:] for shape in network.calls] == [(30, 16), (76, 39)]


def test_no_scale_is_so_small_that_no_pixel_is_left(local_network, noise):
    network = local_network()
    views(network, [noise(3, 2)], size=(3, 2), scales=(0.01,))
    assert network.calls == [(1, 3, 1, 1)]


def test_strips_make_no_difference(local_network, noise, monkeypatch):
    size = (37, 21)
    (seen,) = views(local_network(align_corners=True), [noise(*size)], size=size, scales=(1, 1.5), flip=True)
    whole = probabilities(seen, size)
    monkeypatch.setattr("deeplab.inference.multiscale.STRIP", 1)
    torch.testing.assert_close(probabilities(seen, size), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(local_network, noise, value):
    network = local_network()
    network.weight[1] = value
    with pytest.raises(CheckpointError, match="not finite"):
        views(network, [noise(8, 8)], size=(8, 8))


def test_logits_that_are_not_finite_in_one_image_of_a_batch_are_refused(local_network):
    network = local_network()
    network.weight[:] = 3e38
    grey, white = (np.full((8, 8, 3), level, np.uint8) for level in (128, 255))
    views(network, [grey], size=(8, 8))
    with pytest.raises(CheckpointError, match="not finite"):
        views(network, [grey, white], size=(8, 8))


class OnGPU(torch.Tensor):
    """A tensor that says it lies there."""

    is_cuda = True


@pytest.mark.parametrize("num_classes", [4, 300])
def test_labels_are_made_where_the_logits_lie(local_network, noise, num_classes, monkeypatch):
    network, size = local_network(num_classes=num_classes), (21, 30)
    ((view,),) = views(network, [noise(*size)], size=size)
    here = view.labels(centres(50), centres(40))
    asked = []
    monkeypatch.setattr(upsample_argmax_gpu, "find_spec", asked.append)
    assert view.there is not None
    gpu = replace(view, there=view.there.as_subclass(OnGPU), logits=np.zeros_like(view.logits))
    there = gpu.labels(centres(50), centres(40))
    assert asked == ["triton"]
    assert there.dtype == here.dtype == (np.uint8 if num_classes <= 256 else np.uint16)
    np.testing.assert_array_equal(there, here)
    assert gpu.fetched().there is None


def test_each_image_of_a_batch_has_its_own_logits_there(local_network, noise):
    images = [noise(8, 12, seed) for seed in range(3)]
    for seen in views(local_network(), images, size=(8, 12), scales=(1, 2), flip=True):
        for view in seen:
            np.testing.assert_array_equal(view.there.numpy(), view.logits)
