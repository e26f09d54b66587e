import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab.data import open_dataset
from deeplab.data.transforms import Augmentation
from deeplab.errors import DataError
from deeplab.training.batches import Epochs, Photos, RareCrops, TrainingCrops, loader, seeded


@pytest.fixture
def photos(data):
    dataset = open_dataset(data)
    return Photos(dataset.split("train"), dataset, long_side=None)


def batches(photos, *, workers, epoch=0):
    crops = TrainingCrops(photos, Augmentation((9, 9), (0.5, 2.0), fill=(0.0,) * 3, ignore_index=255), seed=3)
    epochs = Epochs(len(photos), 2, seed=3)
    epochs.set_epoch(epoch)
    return list(loader(crops, epochs, batch_size=2, workers=workers, pin_memory=False))


def test_an_epoch_shows_every_image_and_fills_the_last_batch_from_its_start():
    indices = [index for _, _, index in Epochs(5, 2, seed=0)]
    assert sorted(indices[:5]) == [0, 1, 2, 3, 4]
    assert indices[5:] == indices[:1]


def test_fewer_images_than_a_batch_still_make_a_full_batch():
    assert [index for _, _, index in Epochs(1, 4, seed=0)] == [0, 0, 0, 0]


def test_epochs_are_shuffled_each_in_its_own_way():
    epochs = Epochs(20, 4, seed=0)
    first = list(epochs)
    assert list(epochs) == first
    epochs.set_epoch(1)
    assert [index for *_, index in epochs] != [index for *_, index in first]


def test_processes_share_an_epoch():
    shares = [list(Epochs(10, 2, seed=0, rank=rank, world_size=3)) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    together = sorted(itertools.chain(*shares), key=lambda key: key[1])
    assert together == list(Epochs(10, 6, seed=0))


def test_batches_do_not_depend_on_the_number_of_workers(photos):
    for alone, shared in zip(batches(photos, workers=0), batches(photos, workers=2), strict=True):
        assert alone.indices == shared.indices
        assert torch.equal(alone.image, shared.image)
        assert torch.equal(alone.labels, shared.labels)


def test_another_epoch_shows_other_crops(photos):
    assert not torch.equal(batches(photos, workers=0)[0].image, batches(photos, workers=0, epoch=1)[0].image)


def test_memory_gives_what_the_files_give(photos):
    fresh = [photos[index] for index in range(len(photos))]
    photos.keep()
    for (image, labels), (kept_image, kept_labels) in zip(fresh, map(photos.__getitem__, range(5)), strict=True):
        np.testing.assert_array_equal(image, kept_image)
        np.testing.assert_array_equal(labels, kept_labels)


def test_without_room_for_their_batches_fewer_workers_read(photos, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("deeplab.training.batches.SHARED_MEMORY", tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=50_000))
    crops = TrainingCrops(photos, Augmentation((32, 32), (1.0, 1.0), (0.0,) * 3, 255), seed=0)
    for batch_size, workers in ((1, 2), (2, 1), (4, 0)):  # three batches of 8 KB for each image and worker
        epochs = Epochs(len(photos), batch_size, seed=0)
        found = loader(crops, epochs, batch_size=batch_size, workers=4, pin_memory=False)
        assert found.num_workers == workers
        assert f"{workers} of 4 processes read images" in caplog.messages[-1]


@pytest.mark.parametrize(("method", "kept"), [("fork", True), ("spawn", False)])
def test_what_each_worker_would_copy_is_kept_only_if_all_copies_fit(photos, monkeypatch, method, kept):
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: method)
    needed = sum(part.nbytes for index in range(len(photos)) for part in photos[index])
    photos.keep(workers=3, limit=2 * needed)
    assert (photos._kept is not None) == kept


@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_mask_arrives_as_its_error(data, tmp_path, workers):
    (tmp_path / "train/images").mkdir(parents=True)
    (tmp_path / "train/masks").mkdir()
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "train/images/a.png")
    Image.fromarray(np.full((5, 5), 7, np.uint8)).save(tmp_path / "train/masks/a.png")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    dataset = open_dataset(tmp_path)
    found = batches(Photos(dataset.split("train"), dataset, long_side=None), workers=workers)
    assert isinstance(found[0], DataError)
    assert "a.png: label 7 at (row 0, column 0)" in str(found[0])


def test_class_counts_are_of_each_photo(photos):
    expected = [[(photos[index][1] == label).sum() for label in range(3)] for index in range(len(photos))]
    np.testing.assert_array_equal(photos.class_counts(), expected)


def test_an_epoch_of_several_passes_shows_every_image_in_each_of_them():
    indices = [index for *_, index in Epochs(5, 2, seed=0, passes=3)]
    assert len(indices) == 16  # 15, and one to fill the last batch
    assert [sorted(indices[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3
    assert indices[:5] != indices[5:10]


def test_an_epoch_holds_whole_steps():
    epochs = Epochs(5, 2, seed=0, accumulate=3)
    assert (epochs.steps, len(list(epochs))) == (1, 6)


def test_crops_are_aimed_at_classes_by_the_inverse_of_their_share():
    counts = np.array([[9, 1, 0, 0], [9, 0, 0, 2]])
    rare, generator = RareCrops(counts, share=1.0), seeded(0)
    drawn = [rare.draw(generator) for _ in range(600)]
    assert {index for index, label in drawn if label == 0} == {0, 1}
    assert {index for index, label in drawn if label == 1} == {0}
    assert {index for index, label in drawn if label == 3} == {1}
    assert not any(label == 2 for _, label in drawn)
    weights = np.array([1 / 18, 1, 0, 1 / 2])
    found = np.bincount([label for _, label in drawn], minlength=4) / 600
    np.testing.assert_allclose(found, weights / weights.sum(), atol=0.06)  # three standard deviations


def test_a_stray_pixel_does_not_take_the_crops_of_all():
    counts = np.array([[900, 0], [900, 1], *[[900, 0]] * 98])
    rare, generator = RareCrops(counts, share=0.5), seeded(0)
    drawn = [rare.draw(generator) for _ in range(2000)]
    assert drawn.count((1, 1)) == pytest.approx(200, abs=50)  # ten times its turn of 20
    assert drawn.count(None) == pytest.approx(1000, abs=100)


def test_a_share_of_the_crops_is_aimed_and_none_where_nothing_is_labelled():
    generator = seeded(1)
    rare = RareCrops(np.ones((2, 2), np.int64), share=0.25)
    assert 60 < sum(rare.draw(generator) is not None for _ in range(400)) < 140
    assert RareCrops(np.zeros((2, 2), np.int64), share=1.0).draw(generator) is None


def test_an_aimed_crop_shows_a_pixel_of_a_rare_class(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    labels = np.zeros((60, 60), np.uint8)
    labels[50, 7] = 1
    for name, mask in (("a", labels), ("b", np.zeros_like(labels))):
        Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(tmp_path / f"train/images/{name}.png")
        Image.fromarray(mask).save(tmp_path / f"train/masks/{name}.png")
    (tmp_path / "classes.txt").write_text("rest\nspeck\n")
    dataset = open_dataset(tmp_path)
    photos = Photos(dataset.split("train"), dataset, long_side=None)
    rare = RareCrops(photos.class_counts(), share=1.0)
    crops = TrainingCrops(photos, Augmentation((9, 9), (1.0, 1.0), (0.0,) * 3, 255), seed=0, rare=rare)
    samples = [crops[0, place, 1] for place in range(8)]
    assert {index for _, index in samples} == {0}
    assert all((sample.labels == 1).any() for sample, _ in samples)


def test_a_long_side_resizes_image_and_labels(data):
    dataset = open_dataset(data)
    image, labels = Photos(dataset.split("train"), dataset, long_side=20)[0]
    assert max(labels.shape) == 20
    assert image.shape[:2] == labels.shape
    assert set(np.unique(labels)) <= {0, 1, 2}


def test_labels_of_300_classes_arrive_whole(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "train/images/a.png")
    Image.fromarray(np.full((9, 9), 299, np.uint16)).save(tmp_path / "train/masks/a.png")
    (tmp_path / "classes.txt").write_text("".join(f"class {number}\n" for number in range(300)))
    dataset = open_dataset(tmp_path)
    photos = Photos(dataset.split("train"), dataset, long_side=None)
    crop, _ = TrainingCrops(photos, Augmentation((9, 9), (1.0, 1.0), (0.0,) * 3, 65535), seed=0)[0, 0, 0]
    assert crop.labels.unique().tolist() == [299]
