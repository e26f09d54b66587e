"""What is exported, before any engine: the traced graph, run by PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deeplab import runtimes
from deeplab.checkpoints import Checkpoint
from deeplab.errors import SettingsError
from deeplab.inference import Segmenter
from deeplab.runtimes.graph import Graph


def traced(graph):
    module = graph.program.module()

    @torch.inference_mode()
    def run(images):
        return module(torch.from_numpy(images)).numpy()

    return runtimes.reference(graph, run)


def assert_same(exported, checkpoint, image):
    found, expected = (Segmenter(each, device="cpu")(image).probabilities for each in (exported, checkpoint))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums in another order


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deeplabv1", {"hidden_channels": 8}),
        ("deeplabv2", {"align_corners": False, "scales": (0.5, 1.0)}),
        ("deeplabv3", {"image_pooling_crop_size": (33, 33), "padding": "same"}),
    ],
)
def test_every_model_can_be_traced(checkpoint_of, make_image, name, options):
    checkpoint = checkpoint_of(name, **options)
    assert_same(traced(Graph(checkpoint, fixed_size=(40, 71))), checkpoint, make_image(40, 71))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deeplabv2", {"scales": (0.5, 1.0)}),
        ("deeplabv3", {"image_pooling_crop_size": (33, 33)}),
        ("deeplabv3", {"image_pooling_crop_size": (129, 129), "pooling_align_corners": False}),
    ],
)
def test_scales_and_windows_follow_the_size_of_the_image(checkpoint_of, make_image, name, options):
    checkpoint = checkpoint_of(name, **options)
    exported = traced(Graph(checkpoint))
    for size in ((17, 90), (150, 90), (33, 33), (1, 1)):
        assert_same(exported, checkpoint, make_image(*size))


def test_one_size_pads_smaller_images(checkpoint_of, make_image):
    checkpoint = checkpoint_of(image_pooling=False, long_side=200)  # which would see the padding
    exported = traced(Graph(checkpoint, fixed_size=(64, 80)))
    segmenter = Segmenter(exported)
    assert segmenter.seen_size((300, 100)) == (64, 21)
    image = make_image(64, 80)
    assert_same(exported, Checkpoint(checkpoint.model, checkpoint.classes, checkpoint.palette), image)
    for size in ((300, 100), (20, 200), (1, 1)):
        assert segmenter(make_image(*size)).labels.shape == size
    assert [len(result.labels) for result in segmenter.stream([image, image], batch_size=2)] == [64, 64]
    for options in ({"scales": (0.5,)}, {"tile_size": 32}, {"long_side": 50}):
        with pytest.raises(SettingsError, match="exported for images of 64 x 80"):
            Segmenter(exported, **options)


@pytest.mark.parametrize(
    ("options", "problem"), [({"crf_rnn": True}, "CRF-RNN cannot be exported"), ({"in_channels": 4}, "got 4 channels")]
)
def test_what_cannot_be_exported_is_told(checkpoint_of, options, problem):
    with pytest.raises(SettingsError, match=problem):
        Graph(checkpoint_of(**options)).description()
