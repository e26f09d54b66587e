import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab.data import open_dataset
from deeplab.data.transforms import Augmentation
from deeplab.errors import DataError
from deeplab.training.batches import Epochs, Photos, TrainingCrops, loader


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


def test_class_shares_are_of_the_labelled_pixels(photos):
    labels = np.concatenate([photos[index][1].ravel() for index in range(len(photos))])
    expected = [(labels == label).mean() for label in range(3)]
    np.testing.assert_allclose(photos.class_shares(), expected)


def test_a_long_side_resizes_image_and_labels(data):
    dataset = open_dataset(data)
    image, labels = Photos(dataset.split("train"), dataset, long_side=20)[0]
    assert max(labels.shape) == 20
    assert image.shape[:2] == labels.shape
    assert set(np.unique(labels)) <= {0, 1, 2}
