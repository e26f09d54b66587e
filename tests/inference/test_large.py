import sys

import numpy as np
import pytest
from PIL import Image

from deeplab import _machine
from deeplab._machine import free_memory
from deeplab.crf import DenseCRF
from deeplab.errors import CheckpointError, SettingsError
from deeplab.images import read_labels
from deeplab.images.large import write_label_rows
from deeplab.inference import Segmenter, segment_file
from deeplab.inference.predictor import PIXEL_BYTES

pytest.importorskip("rasterio", reason="large images are read by rasterio")


@pytest.fixture
def make_segmenter(make_checkpoint):
    def make(network=None, *, num_classes=4, checkpoint_side=None, **options):
        return Segmenter(make_checkpoint(network, num_classes=num_classes, long_side=checkpoint_side), **options)

    return make


@pytest.fixture
def save(tmp_path):
    def make(image):
        path = tmp_path / "image.png"
        Image.fromarray(image).save(path)
        return path

    return make


@pytest.mark.parametrize("stride", [1, 8])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (40, 200), (97, 33), (300, 257), (500, 64)])
def test_the_labels_are_those_of_the_image_in_memory(
    make_segmenter, local_network, noise, save, tmp_path, size, align_corners, stride
):
    segmenter = make_segmenter(local_network(align_corners=align_corners, stride=stride), tile_size=97)
    image = noise(*size)
    overview = segment_file(segmenter, save(image), tmp_path / "labels.png")
    result = segmenter(image)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), result.labels)
    assert list(overview.areas.items()) == list(result.areas().items())  # the largest first
    np.testing.assert_array_equal(overview.segmentation.labels, result.labels)
    np.testing.assert_array_equal(overview.segmentation.image, image)


def test_a_network_of_one_size_sees_the_image_as_a_whole(
    make_segmenter, local_network, make_image, save, tmp_path, monkeypatch
):
    monkeypatch.setattr("deeplab.inference.large.TILE_SIZE", 64)
    network = local_network()
    segmenter = make_segmenter(network)
    monkeypatch.setattr(segmenter.network, "fixed_size", (120, 160))
    image = make_image(300, 400)
    segment_file(segmenter, save(image), tmp_path / "labels.png")
    assert network.calls == [(1, 3, 120, 160)]


@pytest.mark.parametrize("side", [64, 150, 900])
def test_an_image_that_the_network_sees_at_another_size(
    make_segmenter, local_network, make_image, save, tmp_path, side
):
    network = local_network(stride=1)
    segmenter = make_segmenter(network, checkpoint_side=side, tile_size=128)
    image = make_image(300, 400)
    segment_file(segmenter, save(image), tmp_path / "labels.png")
    labels = read_labels(tmp_path / "labels.png")
    assert (labels != segmenter(image).labels).mean() < 0.02  # thinned out before it is resized


def test_what_the_network_sees_is_in_one_piece_where_it_fits_into_the_memory(
    make_segmenter, local_network, make_image, save, tmp_path
):
    network = local_network(stride=1)
    segment_file(make_segmenter(network, checkpoint_side=1000), save(make_image(300, 1200)), tmp_path / "labels.png")
    assert network.calls == [(1, 3, 250, 1000)]


def test_what_the_network_sees_at_the_size_of_the_file_is_in_tiles_though_it_fits_into_the_memory(
    make_segmenter, local_network, noise, save, tmp_path, monkeypatch
):
    monkeypatch.setattr("deeplab.inference.large.TILE_SIZE", 64)
    network = local_network()
    segment_file(make_segmenter(network), save(noise(200, 100)), tmp_path / "labels.png")
    assert {shape[2:] for shape in network.calls} == {(64, 64)}


@pytest.mark.parametrize("size", [(70, 333), (333, 70), (101, 100), (50, 100), (50, 40)])
def test_an_overview_holds_every_nth_pixel_of_the_image_and_of_its_labels(
    make_segmenter, noise, save, tmp_path, monkeypatch, size
):
    monkeypatch.setattr("deeplab.inference.large.OVERVIEW_SIDE", 50)
    image = noise(*size)
    overview = segment_file(make_segmenter(tile_size=64), save(image), tmp_path / "labels.png").segmentation
    step = -(-max(size) // 50)
    np.testing.assert_array_equal(overview.image, image[::step, ::step])
    np.testing.assert_array_equal(overview.labels, read_labels(tmp_path / "labels.png")[::step, ::step])
    assert max(overview.labels.shape) <= 50
    with pytest.raises(SettingsError, match="has labels only"):
        _ = overview.probabilities


def test_an_overview_of_more_than_256_classes_has_them_all(make_segmenter, noise, save, tmp_path):
    segmenter = make_segmenter(num_classes=300, tile_size=64)
    labels = segment_file(segmenter, save(noise(60, 60)), tmp_path / "labels.png").segmentation.labels
    assert labels.dtype == np.uint16
    assert labels.max() > 255
    np.testing.assert_array_equal(labels, read_labels(tmp_path / "labels.png"))


def test_no_row_is_read_twice_and_few_are_held(make_segmenter, noise, save, tmp_path, monkeypatch):
    from deeplab.images.large import LargeImage

    read = []
    rows = LargeImage.rows

    def spy(self, start, stop):
        read.append((start, stop))
        return rows(self, start, stop)

    monkeypatch.setattr(LargeImage, "rows", spy)
    segment_file(make_segmenter(tile_size=64), save(noise(500, 70)), tmp_path / "labels.png")
    assert [row for start, stop in read for row in range(start, stop)] == list(range(500))
    assert max(stop - start for start, stop in read) <= 64


@pytest.mark.parametrize("side", [None, 64])
def test_few_rows_of_labels_are_held(make_segmenter, noise, save, tmp_path, monkeypatch, side):
    heights = []

    def spy(path, rows, **options):
        rows = list(rows)
        heights.extend(map(len, rows))
        write_label_rows(path, rows, **options)

    monkeypatch.setattr("deeplab.inference.large.write_label_rows", spy)
    monkeypatch.setattr("deeplab.inference.large.STRIP", 7 * 70)
    segment_file(make_segmenter(tile_size=64, checkpoint_side=side), save(noise(500, 70)), tmp_path / "labels.png")
    assert max(heights) == 7
    assert sum(heights) == 500


def test_progress_is_told_by_rows_of_tiles(make_segmenter, noise, save, tmp_path):
    from contextlib import contextmanager

    told = []

    @contextmanager
    def progress(title, *, total):
        told.append((title, total))
        yield lambda: told.append("step")

    segment_file(make_segmenter(tile_size=64), save(noise(200, 70)), tmp_path / "labels.png", progress=progress)
    title, total = told[0]
    assert "image.png" in title
    assert told[1:] == ["step"] * total
    assert total > 2


@pytest.mark.parametrize("options", [{"scales": (0.5, 1)}, {"flip": True}, {"crf": DenseCRF("v2-resnet101")}])
def test_what_wants_the_whole_image_is_refused(make_segmenter, noise, save, tmp_path, options):
    with pytest.raises(SettingsError, match="no scales, flip or CRF"):
        segment_file(make_segmenter(**options), save(noise(20, 20)), tmp_path / "labels.png")


def test_logits_that_are_not_finite_are_refused(make_segmenter, local_network, noise, save, tmp_path):
    network = local_network()
    network.weight[1] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        segment_file(make_segmenter(network, tile_size=64), save(noise(80, 80)), tmp_path / "labels.png")
    assert not (tmp_path / "labels.png").exists()


def test_what_does_not_fit_into_the_memory_is_shown_in_tiles(make_segmenter, local_network, noise, monkeypatch):
    monkeypatch.setattr("deeplab.inference.predictor.TILE_SIZE", 64)
    network = local_network()
    image = noise(128, 192)
    segmenter = make_segmenter(network)
    whole = segmenter(image)
    assert network.calls == [(1, 3, 128, 192)]
    monkeypatch.setattr("deeplab.inference.predictor.free_memory", lambda device: 128 * 192 * 100)
    network.calls.clear()
    np.testing.assert_array_equal(make_segmenter(network)(image).labels, whole.labels)
    assert {shape[2:] for shape in network.calls} == {(64, 64)}


@pytest.mark.parametrize(("count", "scales"), [(2, (1.0,)), (1, (1.0, 2.0))])
def test_the_memory_is_reckoned_for_the_batch_at_the_largest_scale(
    make_segmenter, local_network, noise, monkeypatch, count, scales
):
    monkeypatch.setattr("deeplab.inference.predictor.TILE_SIZE", 64)
    enough_for_one = 128 * 192 * PIXEL_BYTES
    monkeypatch.setattr("deeplab.inference.predictor.free_memory", lambda device: enough_for_one)
    network = local_network()
    list(make_segmenter(network, scales=scales).stream([noise(128, 192)] * count, batch_size=count))
    assert {shape[2:] for shape in network.calls} == {(64, 64)}


def test_free_memory_is_known_on_linux():
    free = free_memory()
    assert free is None or free > 2**20


def test_an_engine_may_have_a_gpu_where_there_is_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert free_memory("cuda") is None


def test_the_memory_that_torch_keeps_of_a_gpu_is_free(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 700)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 200)
    assert free_memory("cuda:1") == 1000 + 700 - 200


@pytest.mark.parametrize("crf", [None, DenseCRF("v2-resnet101")])
def test_an_engine_may_have_a_gpu_where_torch_has_none(make_segmenter, make_image, monkeypatch, crf):
    image = make_image(20, 24)
    on_cpu = make_segmenter(crf=crf)
    wanted = on_cpu(image).labels
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(Segmenter, "device", "cuda")
    np.testing.assert_array_equal(on_cpu(image).labels, wanted)


def test_the_limit_of_a_container_counts(tmp_path):
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "700"),
        ("memory.stat", "anon 500\ninactive_file 90\n"),
    ):
        (tmp_path / name).write_text(text)
    assert _machine._free_in_container(tmp_path) == 390
    (tmp_path / "memory.max").write_text("max\n")
    assert _machine._free_in_container(tmp_path) is None
    assert _machine._free_in_container(tmp_path / "none") is None


def test_what_fitted_once_is_not_shown_in_tiles_later(make_segmenter, local_network, noise, monkeypatch):
    monkeypatch.setattr("deeplab.inference.predictor.TILE_SIZE", 64)
    network = local_network()
    segmenter = make_segmenter(network)
    segmenter(noise(128, 192))
    monkeypatch.setattr("deeplab.inference.predictor.free_memory", lambda device: 1)
    segmenter(noise(128, 192))
    assert network.calls == [(1, 3, 128, 192)] * 2
