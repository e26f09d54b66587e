"""What every format does, on a tiny data set of each."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from deeplab import catalog
from deeplab.data import load_sample, open_dataset, regroup
from deeplab.data.dataset import _fitting, _formats
from deeplab.data.doctor import examine, repair, write_page
from deeplab.data.label_sets import CITYSCAPES_PALETTE
from deeplab.errors import DataError, DeepLabError, UnknownNameError
from deeplab.images import color_map, read_labels

FORMATS = catalog.offering("data/formats", "read")
DOCS = Path(__file__).parents[3] / "docs" / "data.md"


def test_there_is_a_data_set_of_every_format(formats_made):
    assert formats_made == set(FORMATS)


def test_a_data_set_is_detected_as_one_format_only(made):
    assert _fitting(made.root, _formats()) == [made.format]


def test_samples_are_listed_by_split(made):
    splits = open_dataset(made.root).splits
    assert {name: [sample.image.stem[0] for sample in samples] for name, samples in splits.items()} == {
        "train": ["a", "b"],
        "val": ["c"],
    }


def test_the_labels_are_those_of_the_regions(made):
    dataset = open_dataset(made.root)
    assert dataset.palette.shape == (len(dataset.classes), 3)
    for sample in [*dataset.split("train"), *dataset.split("val")]:
        image, labels = load_sample(sample, dataset)
        assert (image.shape, image.dtype, labels.dtype) == ((6, 8, 3), np.uint8, np.uint8)
        np.testing.assert_array_equal(labels, made.truth(sample.image.stem[0], dataset.classes))


def test_a_format_given_by_name_reads_the_same(made):
    given, detected = open_dataset(made.root, format=made.format), open_dataset(made.root)
    assert (given.classes, given.splits.keys()) == (detected.classes, detected.splits.keys())


def test_the_doctor_counts_the_same_labels_and_can_copy_them(made, tmp_path):
    dataset = open_dataset(made.root)
    diagnosis = examine(dataset)
    assert not [finding.kind for finding in diagnosis.errors if finding.kind.startswith(("image", "mask"))]
    labels = [load_sample(sample, dataset)[1] for sample in dataset.split("train")]
    wanted = sum(np.bincount(each[each != 255], minlength=len(dataset.classes)) for each in labels)
    np.testing.assert_array_equal(diagnosis.evidence.counts["train"].pixels, wanted)
    write_page(tmp_path / "page.html", diagnosis)
    copied = repair(diagnosis, tmp_path / "copy").repair
    assert copied.samples == 3
    copy, origin = open_dataset(tmp_path / "copy"), diagnosis.evidence.origin
    for one, other in zip(copy.split("train"), origin.split("train"), strict=True):
        np.testing.assert_array_equal(load_sample(one, copy)[1], load_sample(other, origin)[1])


def test_the_classes_can_be_regrouped(made):
    dataset = open_dataset(made.root)
    nothing, one, two = made.names
    regrouped = regroup(dataset, [f"thing={one}|{two}", nothing])
    sample = dataset.split("train")[0]
    labels, before = load_sample(sample, regrouped)[1], load_sample(sample, dataset)[1]
    background = before == dataset.classes.index(nothing)
    np.testing.assert_array_equal(labels, np.where(before == 255, 255, background))


def test_the_doctor_sees_the_files_whatever_their_classes_become(made, tmp_path):
    dataset = open_dataset(made.root)
    nothing, one, two = made.names
    diagnosis = examine(regroup(dataset, [f"thing={one}|{two}", nothing]))
    plain = examine(dataset)
    assert {finding.kind for finding in diagnosis.findings} <= {finding.kind for finding in plain.findings}
    assert diagnosis.evidence.origin.classes == plain.evidence.origin.classes
    before = {
        split: dict(zip(dataset.classes, count.pixels, strict=True)) for split, count in plain.evidence.counts.items()
    }
    for split, count in diagnosis.evidence.counts.items():
        assert count.pixels.tolist() == [before[split][one] + before[split][two], before[split][nothing]]
    assert repair(diagnosis, tmp_path / "copy").repair.samples == 3


def test_worker_processes_can_read_it(made):
    dataset = pickle.loads(pickle.dumps(open_dataset(made.root)))
    sample = dataset.split("val")[0]
    np.testing.assert_array_equal(load_sample(sample, dataset)[1], made.truth("c", dataset.classes))


@pytest.mark.parametrize(
    ("name", "palette"), [("cityscapes", CITYSCAPES_PALETTE), ("ade20k", color_map(150))], ids=["cityscapes", "ade20k"]
)
def test_the_colours_are_those_of_the_classes_that_are_left(make, name, palette):
    np.testing.assert_array_equal(open_dataset(make(name).root).palette, palette)


@pytest.mark.parametrize(
    "name", ["folder", "voc", "cityscapes", "ade20k", "coco_stuff", "camvid", "vistas_v1", "vistas_v2"]
)
def test_masks_of_16_bits_are_read_as_those_of_8(make, write, name):
    made = make(name)
    dataset = open_dataset(made.root)
    sample = dataset.split("train")[0]
    write(sample.mask, read_labels(sample.mask).astype(np.uint16))
    np.testing.assert_array_equal(load_sample(sample, dataset)[1], made.truth("a", dataset.classes))


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_missing_file_is_named_in_one_line(made, kind):
    sample = open_dataset(made.root).split("train")[0]
    file = getattr(sample, kind)
    if not isinstance(file, Path):
        pytest.skip("lies within another file")
    file.unlink()
    with pytest.raises(DataError, match=rf"\b{sample.image.stem.removesuffix('_leftImg8bit')}") as caught:
        open_dataset(made.root)
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_refused_and_the_others_are_read(made):
    dataset = open_dataset(made.root)
    first, *_, other = dataset.split("train")
    if not isinstance(first.image, Path):
        pytest.skip("lies within another file")
    first.image.write_bytes(b"")
    with pytest.raises(DeepLabError, match=r"the file is empty"):
        load_sample(first, dataset)
    np.testing.assert_array_equal(load_sample(other, dataset)[1], made.truth("b", dataset.classes))


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_folder_is_refused_in_one_line_that_says_what_was_wanted(name, tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}.*(wanted|write)") as caught:
        open_dataset(tmp_path, format=name)
    assert "\n" not in str(caught.value)


def test_every_other_format_is_named_where_none_is_found(tmp_path):
    with pytest.raises(DataError, match=r"not a data set in a known format; .*docs/data\.md has the others") as caught:
        open_dataset(tmp_path)
    assert [name for name in FORMATS if name not in str(caught.value)] == ["folder"]


def test_a_folder_that_fits_two_formats_has_to_be_named(make):
    root = make("voc").root
    (root / "leftImg8bit").mkdir()
    with pytest.raises(DataError, match="could be cityscapes or voc; say which one by --format"):
        open_dataset(root)
    assert len(open_dataset(root, format="voc").classes) == 21


def test_an_unknown_format_brings_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="no data format 'citiscapes'; did you mean cityscapes"):
        open_dataset(tmp_path, format="citiscapes")


@pytest.mark.parametrize("name", FORMATS)
def test_the_page_on_data_has_a_row_for_every_format(name):
    assert re.search(rf"^\| [^|]*`{name}`", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
