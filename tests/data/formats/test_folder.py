import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab.data import open_dataset
from deeplab.errors import DataError, InputNotFoundError, UnknownNameError


def test_classes_and_samples_are_listed_in_order(root):
    dataset = open_dataset(root)
    assert dataset.classes == ("sky", "road", "traffic light")
    assert dataset.palette[1].tolist() == [1, 2, 3]
    assert [sample.image.name for sample in dataset.split("train")] == ["a.png", "b.png"]
    assert [sample.mask.parent.name for sample in dataset.split("train")] == ["masks", "masks"]


def test_class_lists_may_have_windows_line_ends_and_blank_lines(root):
    (root / "classes.txt").write_bytes("\ufeffsky\r\n\r\nstraße 1 2 3\r\n".encode())
    assert open_dataset(root).classes == ("sky", "straße")


@pytest.mark.parametrize("text", ["0 sky\n1 road 9 9 9\n2 traffic light\n", "0: sky\n1: road\n2: traffic light\n"])
def test_the_numbers_of_the_classes_may_stand_before_their_names(root, text):
    (root / "classes.txt").write_text(text)
    assert open_dataset(root).classes == ("sky", "road", "traffic light")


def test_a_name_may_begin_with_another_number(root):
    (root / "classes.txt").write_text("0 sky\n2 lanes\n")
    assert open_dataset(root).classes == ("0 sky", "2 lanes")
    (root / "classes.txt").write_text("0 9 9 9\n1 8 8 8\n")
    assert open_dataset(root).classes == ("0", "1")


def test_a_name_may_end_in_a_number(root):
    (root / "classes.txt").write_text("lane 2\nlane 3\n")
    assert open_dataset(root).classes == ("lane 2", "lane 3")


def test_hidden_files_and_strangers_are_not_samples(root):
    (root / "train/images/._a.jpg").write_bytes(b"")
    (root / "train/images/Thumbs.db").write_bytes(b"")
    (root / "train/masks/notes.txt").write_text("")
    assert len(open_dataset(root).split("train")) == 2


def test_upper_case_suffixes_count(root):
    (root / "train/images/a.png").rename(root / "train/images/a.PNG")
    assert len(open_dataset(root).split("train")) == 2


def test_a_split_without_a_masks_folder_is_unlabelled(root, write):
    write(root / "test/images/c.png", np.zeros((4, 4, 3), np.uint8))
    assert [sample.mask for sample in open_dataset(root).split("test")] == [None]


def test_masks_that_are_all_missing_are_asked_for(root):
    for mask in (root / "train/masks").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match=r"2 images have no mask \(a, b\)"):
        open_dataset(root)


def test_a_missing_mask_is_named(root):
    (root / "train/masks/b.png").unlink()
    with pytest.raises(DataError, match=r"1 image has no mask \(b\); put them as <stem>.png into .*masks"):
        open_dataset(root)


def test_a_missing_image_is_named(root):
    (root / "train/images/b.png").unlink()
    with pytest.raises(DataError, match=r"1 mask has no image \(b\)"):
        open_dataset(root)


def test_two_images_of_one_stem_are_refused(root, write):
    write(root / "train/images/a.jpg", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.jpg and a\.png have .*; keep or rename one, or 'deeplab doctor"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("a\nb\na\n", "line 3: class 'a' occurs twice"),
        ("a\nb 1 2 300\n", "line 2: colour 1 2 300 is outside 0..255"),
        ("a\nb 9 9 9\n\nc 9 9 9\n", "lines 2 and 4 both have the colour 9 9 9"),
    ],
)
def test_a_wrong_class_list_is_refused(root, text, problem):
    (root / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=problem):
        open_dataset(root)


def test_a_class_list_in_another_encoding_is_refused(root):
    (root / "classes.txt").write_bytes("himmel\nstraße\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt: byte 11 is not UTF-8; save it as UTF-8"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([0, 1], ("background", "object")),
        ([0, 255], ("background", "object")),
        ([0, 2, 255], ("class 0", "class 1", "class 2")),
        ([0, 128, 255], ("class 0", "class 1", "class 2")),
        ([[0, 0, 0], [255, 0, 0]], ("background", "object")),
        ([[0, 0, 0], [255, 0, 0], [0, 0, 255], [224, 224, 192]], ("#000000", "#0000ff", "#ff0000")),
    ],
)
def test_without_a_class_list_what_the_masks_hold_is_numbered(root, write, values, classes, caplog):
    (root / "classes.txt").unlink()
    for name in ("a", "b"):
        write(
            root / f"train/masks/{name}.png",
            np.resize(np.array(values, np.uint8), (6, 8, 3)[: np.ndim(values) + 1]),
        )
    assert open_dataset(root).classes == classes
    (warning,) = caplog.messages
    assert f"classes.txt: no such file; what the masks hold is called {classes[0]}, {classes[1]}" in warning


@pytest.mark.parametrize(
    ("write_mask", "held"),
    [
        (lambda path: path.write_bytes(b""), "nothing that can be read"),
        (lambda path: Image.effect_noise((40, 30), 50).convert("RGB").save(path), "colours and 0 numbers"),
        (lambda path: Image.fromarray(np.array([[0, 33001]], np.uint16)).save(path), "numbers up to 33001"),
    ],
)
def test_a_class_list_is_asked_for_where_the_masks_do_not_tell(root, write_mask, held):
    (root / "classes.txt").unlink()
    for mask in (root / "train/masks").iterdir():
        write_mask(mask)
    with pytest.raises(DataError, match=rf"classes\.txt: no such file, and the masks hold .*{held}; write one class a"):
        open_dataset(root)


def test_a_class_list_is_asked_for_where_there_are_no_masks(root):
    (root / "classes.txt").unlink()
    shutil.rmtree(root / "train/masks")
    (root / "train/masks").mkdir()
    with pytest.raises(DataError, match=r"classes\.txt: no such file; write one class a line"):
        open_dataset(root)


def test_a_split_that_is_not_there_names_those_that_are(root):
    with pytest.raises(DataError, match="no images in split 'val'; there are images in: train"):
        open_dataset(root).split("val")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"not a data set in a known format; the plain one has .*classes.txt;") as told:
        open_dataset(tmp_path)
    assert len(str(told.value)) - len(str(tmp_path)) < 300


@pytest.fixture
def undivided(tmp_path, write):
    """Twenty samples without folders of splits."""
    for number in range(20):
        write(tmp_path / "images" / f"{number}.png", np.full((6, 8, 3), 100, np.uint8))
        write(tmp_path / "masks" / f"{number}.png", np.zeros((6, 8), np.uint8))
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    return tmp_path


def stems(dataset):
    return {split: {sample.image.stem for sample in samples} for split, samples in dataset.splits.items()}


def test_images_beside_masks_without_splits_are_divided_and_that_is_told(undivided, caplog):
    found = stems(open_dataset(undivided))
    assert found["train"] | found["val"] == set(map(str, range(20)))
    assert not found["train"] & found["val"]
    assert f"no folders of splits; val are {len(found['val'])} of the 20 images" in caplog.text


def test_a_sample_stays_in_its_split_when_others_come_and_a_fifth_is_val(undivided):
    before = stems(open_dataset(undivided))
    for number in range(20, 300):
        for kind in ("images", "masks"):
            shutil.copyfile(undivided / kind / "0.png", undivided / kind / f"{number}.png")
    after = stems(open_dataset(undivided))
    assert before["train"] <= after["train"]
    assert before["val"] <= after["val"]
    assert 0.15 < len(after["val"]) / 300 < 0.25


@pytest.mark.parametrize("number", range(2, 12))
def test_of_two_samples_without_splits_each_split_has_one(undivided, number):
    for path in (*undivided.glob("images/*"), *undivided.glob("masks/*")):
        if path.stem not in ("0", str(number)):
            path.unlink()
    assert {split: len(found) for split, found in stems(open_dataset(undivided)).items()} == {"train": 1, "val": 1}


@pytest.mark.parametrize("name", ["valid", "validation", "Val"])
def test_splits_have_our_names(root, name):
    (root / "train").rename(root / name)
    assert set(open_dataset(root).splits) == {"val"}


def test_a_missing_mask_is_named_also_without_splits(undivided):
    (undivided / "masks/7.png").unlink()
    with pytest.raises(DataError, match=r"1 image has no mask \(7\)"):
        open_dataset(undivided)


@pytest.fixture
def turned(undivided):
    """The same in folders of splits below those of images and masks."""
    for file in (*undivided.glob("images/*"), *undivided.glob("masks/*")):
        folder = file.parent / ("val" if int(file.stem) < 5 else "train")
        folder.mkdir(exist_ok=True)
        file.rename(folder / file.name)
    return undivided


def test_splits_may_lie_below_images_and_masks(turned, write, caplog):
    write(turned / "images/test/new.png", np.full((6, 8, 3), 100, np.uint8))
    dataset = open_dataset(turned)
    assert stems(dataset) == {
        "test": {"new"},
        "train": set(map(str, range(5, 20))),
        "val": set(map(str, range(5))),
    }
    assert dataset.split("val")[0].mask == turned / "masks/val/0.png"
    assert dataset.split("test")[0].mask is None
    assert not caplog.records


def test_a_missing_mask_is_named_also_with_splits_below(turned):
    (turned / "masks/train/7.png").unlink()
    with pytest.raises(DataError, match=r"1 image has no mask \(7\).*masks/train, or 'deeplab doctor"):
        open_dataset(turned)


def test_the_folder_within_is_named_where_it_is_the_data_set(root):
    (root / "inner").mkdir()
    for part in ("train", "classes.txt"):
        (root / part).rename(root / "inner" / part)
    with pytest.raises(DataError, match=r"not a data set, but .*inner looks like one \(folder\); name that folder"):
        open_dataset(root)


def test_a_missing_folder_is_said_to_be_missing(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        open_dataset(tmp_path / "nothing")


def test_a_file_in_the_place_of_the_folder_is_said_to_be_one(root):
    with pytest.raises(InputNotFoundError, match=r"classes\.txt: a file; name the folder of a data set"):
        open_dataset(root / "classes.txt")


def test_an_unknown_format_brings_the_nearest(root):
    with pytest.raises(UnknownNameError, match="did you mean folder"):
        open_dataset(root, format="foldr")


def test_the_shared_data_sets_open(shared):
    sizes = {
        name: {split: len(samples) for split, samples in open_dataset(shared / "data" / name).splits.items()}
        for name in ("camvid", "clothing_ccp", "coco128_voc21", "dubai_aerial", "dsb2018_nuclei96")
    }
    assert sizes == {
        "camvid": {"test": 233, "train": 367, "val": 101},
        "clothing_ccp": {"test": 100, "train": 402, "val": 100},
        "coco128_voc21": {"test": 126},
        "dubai_aerial": {"test": 8, "train": 56, "val": 8},
        "dsb2018_nuclei96": {"test": 102, "train": 468, "val": 100},
    }
