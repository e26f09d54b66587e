import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab.crf import DenseCRF
from deeplab.errors import CheckpointError, ImageError, InputNotFoundError, SettingsError, UnknownNameError
from deeplab.inference import Segmenter, pick_device
from deeplab.inference.multiscale import mean_probabilities_at
from deeplab.models import create_model

SIZES = [(1, 1), (1, 9), (7, 1), (2, 2), (16, 33), (37, 53), (64, 65)]


@pytest.fixture
def make_segmenter(make_checkpoint):
    def make(network=None, *, num_classes=4, checkpoint_side=None, **options):
        checkpoint = make_checkpoint(network, num_classes=num_classes, long_side=checkpoint_side)
        return Segmenter(checkpoint, device="cpu", **options)

    return make


@pytest.fixture
def save(tmp_path, noise):
    """`save(name, height, width, seed)` -> path of a PNG and its pixels."""

    def make(name, height, width, seed=0):
        image = noise(height, width, seed)
        Image.fromarray(image).save(tmp_path / name)
        return tmp_path / name, image

    return make


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_labels_are_the_argmax_of_the_models_logits(make_segmenter, noise, size, align_corners):
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=5, align_corners=align_corners).eval()
    image = noise(*size)
    with torch.inference_mode():
        logits = model(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].numpy()
    labels = make_segmenter(model, num_classes=5).labels(image)
    assert labels.shape == size
    lost = logits.max(axis=0) - np.take_along_axis(logits, labels[None].astype(np.int64), axis=0)[0]
    assert lost.max() <= 1e-5 * np.abs(logits).max()  # float32 sums in another order


@pytest.mark.parametrize("size", [(1, 9), (37, 53)])
def test_a_model_that_ends_in_a_crf_rnn_predicts_with_it(make_segmenter, make_image, size):
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=5, crf_rnn=True).eval()
    image = make_image(*size)
    with torch.inference_mode():
        logits = model(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0]
    result = make_segmenter(model, num_classes=5)(image)
    np.testing.assert_allclose(result.probabilities, logits.softmax(dim=0), atol=2e-3)  # ten times float32's rounding
    chosen = np.take_along_axis(result.probabilities, result.labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, result.probabilities.max(axis=0), atol=1e-6)


def test_tiles_scales_and_mirror_images_go_with_a_crf_rnn(make_segmenter, make_image):
    model = create_model("deeplabv3", backbone="resnet18", num_classes=5, crf_rnn=True)
    result = make_segmenter(model, num_classes=5, tile_size=32, scales=(0.5, 1), flip=True)(make_image(40, 50))
    chosen = np.take_along_axis(result.probabilities, result.labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, result.probabilities.max(axis=0), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"scales": (0.5, 1, 1.5), "flip": True}, {"tile_size": 32}])
@pytest.mark.parametrize("size", SIZES)
def test_labels_are_the_most_probable_classes(make_segmenter, noise, size, options):
    result = make_segmenter(**options)(noise(*size))
    probabilities = result.probabilities
    assert probabilities.shape == (4, *size)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-5)
    chosen = np.take_along_axis(probabilities, result.labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(chosen, probabilities.max(axis=0), atol=1e-6)


@pytest.mark.parametrize("many", [0, 1])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("num_classes", [4, 300])
@pytest.mark.parametrize("size", SIZES)
def test_labels_of_several_views_are_the_argmax_of_their_mean(
    make_segmenter, local_network, noise, size, num_classes, align_corners, many, monkeypatch
):
    monkeypatch.setattr("deeplab.inference.predictor.MANY", many)
    network = local_network(num_classes=num_classes, align_corners=align_corners)
    network.weight[2] = network.weight[1]  # of equal classes the first
    result = make_segmenter(network, num_classes=num_classes, scales=(1, 0.5, 1.5), flip=True)(noise(*size))
    lost = result.probabilities.max(axis=0) - np.take_along_axis(
        result.probabilities, result.labels[None].astype(int), 0
    )
    assert result.labels.dtype == (np.uint8 if num_classes <= 256 else np.uint16)
    assert lost.max() < 1e-6  # a few units in the last place of a probability
    assert (result.labels != result.probabilities.argmax(axis=0)).mean() < 1e-3
    assert (result.labels != 2).all()


@pytest.mark.parametrize("options", [{"flip": True}, {"scales": (0.75, 1, 1.25)}])
def test_probabilities_are_computed_only_where_the_views_differ(
    make_segmenter, local_network, noise, options, monkeypatch
):
    computed = []

    def counted(seen, rows, columns, points):
        computed.append(len(points))
        return mean_probabilities_at(seen, rows, columns, points)

    monkeypatch.setattr("deeplab.inference.predictor.mean_probabilities_at", counted)
    image = noise(13, 17).repeat(16, axis=0).repeat(16, axis=1)[:201, :259]  # squares, whose edges are disputed
    result = make_segmenter(local_network(), **options)(image)
    assert 0 < computed[0] < image.shape[0] * image.shape[1] / 4
    np.testing.assert_array_equal(result.labels, result.probabilities.argmax(axis=0))


@pytest.mark.parametrize("options", [{}, {"scales": (0.5, 1)}, {"tile_size": 32}, {"crf": "v2-resnet101"}])
def test_confidence_is_the_highest_probability(make_segmenter, make_image, options):
    result = make_segmenter(**options)(make_image(40, 50))
    np.testing.assert_allclose(result.confidence, result.probabilities.max(axis=0), atol=1e-5)
    assert result.confidence is result.confidence


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(320, 256), (96, 512), (64, 416)])
def test_tiles_of_a_local_network_give_the_whole_images_labels(
    make_segmenter, local_network, noise, size, align_corners
):
    network = local_network(align_corners=align_corners)
    image = noise(*(length + align_corners for length in size))
    whole, tiled = make_segmenter(network)(image), make_segmenter(network, tile_size=97)(image)
    np.testing.assert_array_equal(tiled.labels, whole.labels)
    np.testing.assert_array_equal(tiled.probabilities, whole.probabilities)


@pytest.mark.parametrize("size", [(300, 257), (97, 500), (129, 129)])
def test_tiles_of_an_image_off_the_grid_differ_at_its_last_edges_only(make_segmenter, local_network, noise, size):
    network = local_network()
    image = noise(*size)
    whole, tiled = make_segmenter(network)(image), make_segmenter(network, tile_size=97)(image)
    np.testing.assert_array_equal(tiled.labels[:-32, :-32], whole.labels[:-32, :-32])


@pytest.mark.parametrize("checkpoint_side", [192, 768])
def test_tiles_are_of_what_the_network_sees(make_segmenter, local_network, noise, checkpoint_side):
    network = local_network()
    image = noise(256, 384)
    whole = make_segmenter(network, checkpoint_side=checkpoint_side)(image)
    network.calls.clear()
    tiled = make_segmenter(network, checkpoint_side=checkpoint_side, tile_size=128)(image)
    assert len(network.calls) > 1
    assert max(max(shape[2:]) for shape in network.calls) <= 128
    np.testing.assert_array_equal(tiled.probabilities, whole.probabilities)


def test_tiles_scales_and_mirror_images_go_together(make_segmenter, local_network, make_image):
    network = local_network(stride=1)
    image = make_image(150, 200)
    options = {"scales": (1, 2), "flip": True}
    whole, tiled = make_segmenter(network, **options)(image), make_segmenter(network, **options, tile_size=64)(image)
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=1e-5)
    assert max(max(shape[2:]) for shape in network.calls[4:]) <= 64


@pytest.mark.parametrize(
    "size, side, seen", [((40, 80), 20, (10, 20)), ((10, 20), 80, (40, 80)), ((1, 500), 50, (1, 50))]
)
def test_the_longer_side_is_scaled_and_the_labels_have_the_images_size(
    make_segmenter, local_network, noise, size, side, seen
):
    network = local_network()
    labels = make_segmenter(network, checkpoint_side=side).labels(noise(*size))
    assert network.calls == [(1, 3, *seen)]
    assert labels.shape == size


def test_a_given_long_side_goes_before_that_of_the_checkpoint(make_segmenter, local_network, noise):
    network = local_network()
    make_segmenter(network, checkpoint_side=100, long_side=30)(noise(30, 15))
    assert network.calls == [(1, 3, 30, 15)]


class ExportedNetwork:
    """As from a file: a checkpoint's network, for images of one size if there is a `fixed_size`."""

    def __init__(self, checkpoint, *, long_side=None, fixed_size=None):
        self.network = Segmenter(checkpoint, device="cpu").network
        self.network.fixed_size = fixed_size
        self.classes, self.palette, self.long_side = checkpoint.classes, checkpoint.palette, long_side


def test_a_given_long_side_goes_before_that_of_an_exported_network(make_checkpoint, local_network, noise):
    network = local_network()
    Segmenter(ExportedNetwork(make_checkpoint(network), long_side=100), long_side=30)(noise(30, 15))
    assert network.calls == [(1, 3, 30, 15)]


@pytest.mark.parametrize("options", [{"scales": (0.5, 1)}, {"tile_size": 32}, {"long_side": 50}], ids=str)
def test_a_network_of_one_size_has_no_options_of_size(make_checkpoint, options):
    network = ExportedNetwork(make_checkpoint(), fixed_size=(40, 50))
    with pytest.raises(SettingsError, match="was exported for images of 40 x 50: leave out"):
        Segmenter(network, **options)
    Segmenter(network, flip=True)


def test_an_image_is_as_large_as_a_network_of_one_size_takes_it(make_segmenter):
    segmenter = make_segmenter()
    for side in range(1, 200):
        segmenter.network.fixed_size = (side, 300)
        for length in (49, 98, 103, 107, 161, 187):  # in floats, 49 x (7 / 49) is below 7
            assert segmenter.seen_size((length, length)) == (side, side)
    assert segmenter.seen_size((1, 5000)) == (1, 300)


def test_a_changed_segmenter_leaves_the_first_as_it_is(make_segmenter, noise):
    first = make_segmenter(scales=(0.75, 1.25), flip=True)
    changed = first.changed(scales=(1.0,), flip=False)
    image = noise(33, 40)
    np.testing.assert_array_equal(changed(image).labels, make_segmenter()(image).labels)
    assert (first.scales, first.flip) == ((0.75, 1.25), True)
    assert changed.network is first.network


def test_a_result_carries_the_image_and_the_classes(make_segmenter, save):
    segmenter = make_segmenter()
    path, image = save("photo.png", 12, 17)
    result = segmenter(path)
    np.testing.assert_array_equal(result.image, image)
    np.testing.assert_array_equal(result.labels, segmenter.labels(image))
    np.testing.assert_array_equal(result.labels, segmenter(Image.fromarray(image)).labels)
    assert result.classes == segmenter.classes == ("class 0", "class 1", "class 2", "class 3")
    assert result.palette.shape == (4, 3)


def test_labels_of_more_than_256_classes_have_16_bits(make_segmenter, noise):
    for options in ({}, {"flip": True}):
        labels = make_segmenter(num_classes=300, **options).labels(noise(60, 60))
        assert labels.dtype == np.uint16
        assert labels.max() > 255


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3])
def test_a_stream_gives_the_same_as_single_calls_in_order(make_segmenter, save, batch_size):
    sizes = [(20, 30), (20, 30), (20, 30), (31, 9), (20, 30), (31, 9)]
    files = [save(f"{index}.png", *size, seed=index) for index, size in enumerate(sizes)]
    segmenter = make_segmenter()
    results = list(segmenter.stream([path for path, _ in files], batch_size=batch_size))
    assert len(results) == len(files)
    for result, (_, image) in zip(results, files, strict=True):
        np.testing.assert_array_equal(result.image, image)
        np.testing.assert_array_equal(result.labels, segmenter.labels(image))
        np.testing.assert_allclose(result.probabilities, segmenter.probabilities(image), atol=1e-6)


def test_neighbours_that_the_network_sees_at_one_size_are_a_batch(make_segmenter, local_network, noise):
    network = local_network()
    images = [noise(20, 40), noise(10, 20), noise(40, 80), noise(40, 40)]
    segmenter = make_segmenter(network, long_side=40)
    assert [result.labels.shape for result in segmenter.stream(images, batch_size=8)] == [
        (20, 40), (10, 20), (40, 80), (40, 40),
    ]  # fmt: skip
    assert network.calls == [(3, 3, 20, 40), (1, 3, 40, 40)]


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [1] * 10), ("cuda", [8, 2])])
def test_a_stream_has_batches_of_one_on_a_cpu_and_of_eight_elsewhere(
    make_segmenter, local_network, noise, monkeypatch, device, sizes
):
    network = local_network()
    segmenter = make_segmenter(network)
    monkeypatch.setattr(Segmenter, "device", device)
    list(segmenter.stream([noise(8, 8)] * 10))
    assert [shape[0] for shape in network.calls] == sizes


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_bad_file_is_reported_in_its_place_and_the_stream_goes_on(make_segmenter, save, tmp_path, batch_size):
    good = [save(f"{index}.png", 20, 30, seed=index)[0] for index in range(4)]
    empty, missing = tmp_path / "empty.png", tmp_path / "missing.png"
    empty.touch()
    events = []
    stream = make_segmenter().stream(
        [good[0], empty, good[1], good[2], missing, good[3]],
        batch_size=batch_size,
        on_error=lambda source, error: events.append((source, type(error))),
    )
    for result in stream:
        events.append(result.labels.shape)
    shape = (20, 30)
    assert events == [shape, (empty, ImageError), shape, shape, (missing, InputNotFoundError), shape]


def test_without_on_error_a_bad_file_raises_after_the_results_before_it(make_segmenter, save, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(save("whole.png", 20, 30)[0].read_bytes()[:100])
    stream = make_segmenter().stream([save("a.png", 20, 30)[0], broken], batch_size=4)
    assert next(stream).labels.shape == (20, 30)
    with pytest.raises(ImageError, match=r"broken\.png"):
        next(stream)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_result_does_not_wait_for_images_that_are_only_read_ahead(make_segmenter, noise, batch_size):
    taken = []
    images = (taken.append(seed) or noise(8, 8, seed) for seed in range(20))
    stream = make_segmenter().stream(images, batch_size=batch_size)
    next(stream)
    assert len(taken) == batch_size + max(2, batch_size)


def test_an_empty_stream_is_empty(make_segmenter):
    assert list(make_segmenter().stream([])) == []


@pytest.mark.parametrize(("images", "batch_size"), [("photo.jpg", None), ([], 0), ([], -1)])
def test_a_stream_of_one_path_or_of_empty_batches_is_refused(make_segmenter, images, batch_size):
    with pytest.raises(SettingsError, match=r"call the segmenter with it|at least 1"):
        list(make_segmenter().stream(images, batch_size=batch_size))


def test_a_stream_can_be_left_early(make_segmenter, noise):
    stream = make_segmenter().stream(noise(8, 8, seed) for seed in range(100))
    next(stream)
    stream.close()
    gc.collect()


def test_logits_that_are_not_finite_are_refused(make_segmenter, local_network, noise):
    network = local_network()
    network.weight[:] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        make_segmenter(network).labels(noise(8, 8))


def test_a_model_for_other_images_than_rgb_is_refused(make_segmenter, local_network):
    network = local_network()
    network.arguments["in_channels"] = 4
    with pytest.raises(CheckpointError, match="4 channels"):
        make_segmenter(network)


def test_float16_on_a_cpu_is_refused(make_segmenter):
    with pytest.raises(SettingsError, match="precision float16 is for GPUs"):
        make_segmenter(precision="float16")


def test_auto_takes_the_best_device_there_is(monkeypatch):
    for cuda, mps, wanted in [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert pick_device("auto").type == wanted


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=r"device 'cuda:1' .* use cpu or auto"):
        pick_device("cuda:1")


def test_a_gpu_number_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(SettingsError, match="'cuda:2'"):
        pick_device("cuda:2")


@pytest.mark.parametrize("options", [{}, {"tile_size": 32}, {"scales": (0.5, 1), "flip": True}])
def test_a_crf_sharpens_the_probabilities_of_the_network(make_segmenter, make_image, options):
    image, crf = make_image(40, 50), DenseCRF("v1")
    plain, sharp = make_segmenter(**options)(image), make_segmenter(crf=crf, **options)(image)
    np.testing.assert_array_equal(sharp.probabilities, crf(image, plain.probabilities))
    np.testing.assert_array_equal(sharp.labels, sharp.probabilities.argmax(axis=0))
    assert (sharp.labels != plain.labels).any()


class CountingCRF(DenseCRF):
    """Notes what it is called with."""

    def __init__(self):
        super().__init__("v1", iterations=1)
        self.given = []

    def __call__(self, image, probabilities):
        self.given.append(probabilities)
        return super().__call__(image, probabilities)


def test_a_crf_is_computed_once_for_labels_and_probabilities(make_segmenter, make_image):
    crf = CountingCRF()
    result = make_segmenter(crf=crf)(make_image(40, 50))
    assert result.probabilities is result.probabilities
    np.testing.assert_array_equal(result.labels, result.probabilities.argmax(axis=0))
    assert len(crf.given) == 1


def test_what_a_crf_made_is_kept_until_the_next_image(make_segmenter, make_image):
    crf = CountingCRF()
    stream = make_segmenter(crf=crf).stream([make_image(40, 50), make_image(30, 20)])
    first = next(stream)
    kept = weakref.ref(first.compute_probabilities())
    assert kept() is not None
    next(stream)
    gc.collect()
    assert kept() is None
    assert len(crf.given) == 2
    np.testing.assert_array_equal(first.labels, first.probabilities.argmax(axis=0))  # computed again


def test_a_crf_works_where_the_network_does(make_checkpoint, make_image):
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        crf = CountingCRF()
        result = Segmenter(make_checkpoint(), device=device, crf=crf)(make_image(40, 50))
        assert [str(getattr(given, "device", "cpu")).partition(":")[0] for given in crf.given] == [device]
        assert isinstance(result.probabilities, np.ndarray)


def test_a_crf_for_one_image_or_for_all_by_its_name(make_segmenter, make_image):
    image = make_image(40, 50)
    plain, always = make_segmenter(), make_segmenter(crf="v1")
    wanted = plain(image, crf="v1").labels
    np.testing.assert_array_equal(always(image).labels, wanted)
    np.testing.assert_array_equal(always.labels(image), wanted)
    np.testing.assert_array_equal(next(always.stream([image])).labels, wanted)
    assert (plain(image).labels != wanted).any()
    with pytest.raises(UnknownNameError, match="no CRF preset 'v3'"):
        plain(image, crf="v3")


def test_a_crf_for_one_image_goes_before_that_of_the_segmenter(make_segmenter, make_image):
    image = make_image(20, 24)
    own, other = make_segmenter(crf="v1"), make_segmenter(crf="crf-rnn")
    np.testing.assert_array_equal(own(image, crf="crf-rnn").probabilities, other(image).probabilities)
    assert (own(image).probabilities != other(image).probabilities).any()


@pytest.mark.parametrize(("num_classes", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_behind_a_crf_the_last_of_many_classes_has_its_own_label(make_segmenter, local_network, num_classes, dtype):
    network = local_network(num_classes=num_classes)
    network.weight[:] = 0
    network.weight[-1] = 100
    labels = make_segmenter(network, num_classes=num_classes, crf="v1").labels(np.full((6, 8, 3), 255, np.uint8))
    assert labels.dtype == dtype
    assert (labels == num_classes - 1).all()
