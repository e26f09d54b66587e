import numpy as np
import pytest

from deeplab.inference import Segmenter


@pytest.fixture
def make_remembering(make_checkpoint, local_network, tmp_path):
    """`make_remembering(seed)`: a segmenter whose network keeps its outputs, and the network."""

    def make(seed=0, **options):
        network = local_network(seed=seed)
        network.entry = "local"
        segmenter = Segmenter(make_checkpoint(network), device="cpu", **options)
        return segmenter.remembering(tmp_path / "kept"), network

    return make


def test_a_second_segmenter_computes_nothing_and_finds_the_same(make_remembering, make_checkpoint, make_image):
    options = {"tile_size": 32, "scales": (0.5, 1), "flip": True}
    image = make_image(40, 50)
    first, network = make_remembering(**options)
    probabilities = first.probabilities(image)
    assert network.calls
    second, unused = make_remembering(**options)
    np.testing.assert_array_equal(second.probabilities(image), probabilities)
    assert unused.calls == []
    plain = Segmenter(make_checkpoint(), device="cpu", **options)
    np.testing.assert_array_equal(plain.probabilities(image), probabilities)


def test_a_file_that_is_damaged_is_made_anew(make_remembering, make_image, tmp_path):
    image = make_image(40, 50)
    probabilities = make_remembering()[0].probabilities(image)
    (kept,) = (tmp_path / "kept").iterdir()
    whole = kept.read_bytes()
    for size in (0, 10, len(whole) - 1):
        kept.write_bytes(whole[:size])
        np.testing.assert_array_equal(make_remembering()[0].probabilities(image), probabilities)
        assert kept.read_bytes() == whole


def test_other_weights_and_other_pixels_are_computed(make_remembering, make_image):
    make_remembering()[0].labels(make_image(40, 50))
    same, other = make_remembering(), make_remembering(seed=1)
    same[0].labels(make_image(40, 50, seed=1))
    other[0].labels(make_image(40, 50))
    assert len(same[1].calls) == len(other[1].calls) == 1


def test_the_same_pixels_in_another_shape_are_computed(make_remembering, make_image):
    image = make_image(40, 50)
    make_remembering()[0].labels(image)
    segmenter, network = make_remembering()
    assert segmenter.labels(image.reshape(50, 40, 3)).shape == (50, 40)
    assert len(network.calls) == 1


def test_other_options_of_a_model_make_another_network(make_remembering):
    """Such as an atrous rate: the weights are the same."""
    segmenter, network = make_remembering()
    before = segmenter.torch_network.fingerprint()
    network.arguments["atrous_rates"] = (3, 6, 9)
    assert segmenter.torch_network.fingerprint() != before


def test_a_network_of_one_size_stays_one(make_checkpoint, local_network, tmp_path):
    network = local_network()
    network.entry = "local"
    segmenter = Segmenter(make_checkpoint(network), device="cpu")
    segmenter.network.fixed_size = (30, 40)
    assert segmenter.remembering(tmp_path / "kept").seen_size((300, 400)) == (30, 40)


def test_another_precision_is_computed(make_remembering, make_image):
    image = make_image(40, 50)
    exact = make_remembering()[0].probabilities(image)
    rough = make_remembering(precision="bfloat16")[0].probabilities(image)
    assert np.abs(rough - exact).max() > 0


def test_the_segmenter_itself_stays_as_it_is(make_checkpoint, local_network, make_image, tmp_path):
    network = local_network()
    network.entry = "local"
    segmenter = Segmenter(make_checkpoint(network), device="cpu")
    segmenter.remembering(tmp_path / "kept")
    segmenter.labels(make_image(8, 8))
    assert not (tmp_path / "kept").exists()
