from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from deeplab.data import load_sample, open_dataset
from deeplab.errors import DataError, ImageError


@pytest.fixture
def root(make):
    return make("webdataset").root


@pytest.fixture
def shard(root):
    """`shard(*names)`: the training shard has members of these names, which are empty; opened."""

    def write(*names):
        with tarfile.open(root / "train-000000.tar", "w") as file:
            for name in names:
                file.addfile(tarfile.TarInfo(name), io.BytesIO())
        return [
            (str(sample.image.path), str(sample.mask.path) if sample.mask else None)
            for sample in open_dataset(root).split("train")
        ]

    return write


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["x/1.jpg", "x/1.png", "x/2.JPG"], [("x/1.jpg", "x/1.png"), ("x/2.JPG", None)]),
        (["1.mask.png", "1.image.jpg", "1.cls"], [("1.image.jpg", "1.mask.png")]),
        (["a/1.jpg", "a/1.seg.png", "b/1.jpg"], [("a/1.jpg", "a/1.seg.png"), ("b/1.jpg", None)]),
        (["./1.png", "._1.png", "__key__", ".DS_Store"], [("./1.png", None)]),
    ],
)
def test_the_pictures_of_a_key_are_an_image_and_its_mask(shard, names, pairs):
    assert shard(*names) == pairs


@pytest.mark.parametrize("names", [["1.seg.png"], ["1.jpg", "1.bmp"], ["1.jpg", "1.seg.png", "1.mask.png"]])
def test_pictures_that_are_not_one_image_and_one_mask_are_refused(shard, names):
    endings = ", ".join(name[1:] for name in names)
    with pytest.raises(DataError, match=rf"train-000000\.tar: 1: wanted an image and a mask, .* came {endings}$"):
        shard(*names)


def test_a_member_is_called_by_its_shard_and_its_key(root):
    sample = open_dataset(root).split("train")[1]
    assert (sample.image.stem, sample.mask.name) == ("b", "b.seg.png")
    assert str(sample.mask) == f"{root / 'train-000000.tar'}: photos/b.seg.png"


def test_shards_are_read_in_order_and_may_lie_in_folders(root):
    (root / "valid").mkdir()
    (root / "val-000000.tar").rename(root / "valid/7.tar")
    (root / "train-000001.tar").write_bytes((root / "train-000000.tar").read_bytes())
    splits = open_dataset(root).splits
    assert {name: [sample.image.stem for sample in samples] for name, samples in splits.items()} == {
        "train": ["a", "b", "a", "b"],
        "val": ["c"],
    }


def test_the_ending_of_a_shard_may_be_in_capitals(root):
    (root / "train-000000.tar").rename(root / "train-000000.TAR")
    assert {name: len(samples) for name, samples in open_dataset(root).splits.items()} == {"train": 2, "val": 1}


def test_a_shard_may_say_how_many_there_are(root):
    (root / "train-000000.tar").rename(root / "train-000000-of-000002.tar")
    (root / "train-000001-of-000002.tar").write_bytes((root / "train-000000-of-000002.tar").read_bytes())
    assert {name: len(samples) for name, samples in open_dataset(root).splits.items()} == {"train": 4, "val": 1}


def test_a_packed_or_damaged_shard_is_refused(root):
    shard = root / "train-000000.tar"
    content = shard.read_bytes()
    for damaged in (gzip.compress(content), b"no tar file" * 100):
        shard.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train-000000\.tar: not a tar file as it is .*unpack \.gz, or fetch it"):
            open_dataset(root)


def test_a_shard_that_is_cut_off_names_the_picture(root):
    dataset = open_dataset(root)
    shard = root / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ImageError, match=r"train-000000\.tar: photos/b\.png: holds none of"):
        load_sample(dataset.split("train")[1], dataset)


def test_shards_without_a_list_of_classes_ask_for_it(root):
    (root / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt: no such file; write one class a line"):
        open_dataset(root, format="webdataset")
