from dataclasses import replace

import pytest

from deeplab.data import open_dataset
from deeplab.errors import SettingsError
from deeplab.training.samples import epochs_of, training_samples, validation_samples


@pytest.fixture
def half_labelled(data):
    """The data set of these tests, of whose training images only the first has a mask."""
    dataset = open_dataset(data)
    first, *rest = dataset.split("train")
    return replace(dataset, splits={**dataset.splits, "train": (first, *(replace(each, mask=None) for each in rest))})


def test_images_without_masks_are_for_a_teacher(settings, half_labelled, tmp_path):
    assert len(training_samples(settings(tmp_path), half_labelled)) == 1
    assert len(training_samples(settings(tmp_path, teacher="objects"), half_labelled)) == 5


def test_several_splits_are_trained_on_one_after_the_other(settings, half_labelled, tmp_path):
    found = training_samples(settings(tmp_path, train_splits="val,train"), half_labelled)
    assert found == [*half_labelled.split("val"), half_labelled.split("train")[0]]


def test_a_split_without_masks_is_refused(settings, half_labelled, tmp_path):
    bare = replace(half_labelled, splits={"train": half_labelled.split("train")[1:]})
    with pytest.raises(SettingsError, match=r"no masks in train of .*; choose other --train-splits"):
        training_samples(settings(tmp_path), bare)
    with pytest.raises(SettingsError, match=r"split 'train' of .* has no masks; choose another --val-split"):
        validation_samples(settings(tmp_path, val_split="train"), bare)


def test_a_validation_takes_the_first_images_or_none(settings, half_labelled, tmp_path):
    assert validation_samples(settings(tmp_path, val_limit=1), half_labelled) == half_labelled.split("val")[:1]
    assert validation_samples(settings(tmp_path, val_split="none"), half_labelled) == ()


def test_an_epoch_has_all_passes_in_steps_of_all_processes(settings, tmp_path):
    chosen = settings(tmp_path, batch_size=2, accumulate=2, passes=4, devices=2)
    assert epochs_of(chosen, images=10).steps == 5  # 40 images, 8 in each
