from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.data import load_sample, open_dataset
from deeplab.data.doctor import repair
from deeplab.errors import DataError, OutputError
from deeplab.images import turn_upright

from ._sabotage import (
    CLASSES,
    HEIGHT,
    SABOTAGE,
    WIDTH,
    binary,
    diagnose,
    label_map,
    make_binary,
    masks,
    one_label,
    picture,
    rename_masks,
    said,
    save,
    with_exif,
)

REPAIRED = {
    "no mask": (6, ["train/images/1.png: left out: it has no mask"]),
    "no images": (5, ["train/masks/1.png: left out: it has no image", "train/masks/2.png: left out: it has no image"]),
    "masks of other names": (7, [f"train/masks/{seed}_mask.png: renamed as {seed}.png" for seed in range(5)]),
    "one stem twice": (
        6,
        [
            "train/images/1.jpg: left out: another file has the same stem",
            "train/images/1.png: left out: another file has the same stem",
        ],
    ),
    "truncated image": (6, ["train/images/1.png: left out: cannot be read (image file is truncated"]),
    "text as mask": (6, ["train/images/1.png: left out: the mask cannot be used (holds none of"]),
    "smaller mask": (7, ["train/masks/1.png: scaled to the size of its image: 24 x 32, image 48 x 64"]),
    "transposed mask": (6, ["train/images/1.png: left out: the mask is 64 x 48, image 48 x 64"]),
    "label out of range": (6, ["train/images/1.png: left out: 18% of the mask's pixels have labels that are no class"]),
    "numbers spread over 0..255": (7, [f"train/masks/{seed}.png: renumbered, spread" for seed in range(5)]),
    "numbers from 1": (7, [f"train/masks/{seed}.png: renumbered, from one" for seed in range(5)]),
    "0 and 255": (7, [f"train/masks/{seed}.png: renumbered, binary" for seed in range(5)]),
    "masks in colours": (7, [f"train/masks/{seed}.png: colours written as class numbers" for seed in range(5)]),
    "the same image in two splits": (7, ["train/images/again.png: left out: the same file as val/images/5.png"]),
}


@pytest.mark.parametrize("act", REPAIRED)
def test_a_repaired_copy_is_in_order_and_tells_what_was_done(root: Path, tmp_path: Path, act: str) -> None:
    SABOTAGE[act][0](root)
    before = {file: file.read_bytes() for file in root.rglob("*.*")}
    samples, wanted = REPAIRED[act]
    diagnosis = repair(diagnose(root), tmp_path / "repaired")
    assert diagnosis.repair is not None
    done = [f"{each.file}: {each.what}" for each in diagnosis.repair.done]
    assert [line for line in wanted if not any(each.startswith(line) for each in done)] == [], done
    assert diagnosis.repair.samples == samples == sum(map(len, open_dataset(tmp_path / "repaired").splits.values()))
    assert diagnose(tmp_path / "repaired").errors == ()
    assert before == {file: file.read_bytes() for file in root.rglob("*.*")}


@pytest.mark.parametrize("act", ["numbers spread over 0..255", "numbers from 1", "masks in colours", "smaller mask"])
def test_a_repaired_mask_holds_the_labels_that_were_meant(root: Path, tmp_path: Path, act: str) -> None:
    SABOTAGE[act][0](root)
    repair(diagnose(root), tmp_path / "repaired")
    dataset = open_dataset(tmp_path / "repaired")
    image, labels = load_sample(dataset.split("train")[1], dataset)
    assert (image == picture(1)).all()
    assert (labels != label_map(1)).mean() < (0.05 if act == "smaller mask" else 1e-9)


@pytest.mark.parametrize(
    ("size", "what"),
    [
        ((25, 33), "train/masks/1.png: scaled to the size of its image: 25 x 33"),  # rounded
        ((24, 34), "train/images/1.png: left out: the mask is 24 x 34"),
    ],
)
def test_a_mask_is_scaled_only_where_its_shape_is_that_of_the_image(
    root: Path, tmp_path: Path, size: tuple[int, int], what: str
) -> None:
    mask = Image.fromarray(label_map(1)).resize(size[::-1], Image.Resampling.NEAREST)
    save(root / "train/masks/1.png", np.array(mask))
    diagnosis = repair(diagnose(root), tmp_path / "repaired")
    assert diagnosis.repair is not None
    (done,) = (f"{each.file}: {each.what}" for each in diagnosis.repair.done)
    assert done.startswith(what)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_is_applied_to_the_image_and_to_a_mask_that_was_drawn_without(
    root: Path, tmp_path: Path, orientation: int
) -> None:
    with_exif(root / "train/images/1.png", orientation)
    repair(diagnose(root), tmp_path / "repaired")
    image, labels = (
        np.asarray(Image.open(tmp_path / "repaired/train" / kind / "1.png")) for kind in ("images", "masks")
    )
    assert (image == turn_upright(picture(1), orientation)).all()
    if orientation > 4:  # else nobody knows
        assert (labels == turn_upright(label_map(1), orientation)).all()


@pytest.mark.parametrize("orientation", range(5, 9))
def test_exif_of_a_mask_only_is_taken_back(root: Path, tmp_path: Path, orientation: int) -> None:
    with_exif(root / "train/masks/1.png", orientation)
    repair(diagnose(root), tmp_path / "repaired")
    assert (np.asarray(Image.open(tmp_path / "repaired/train/masks/1.png")) == label_map(1)).all()


def test_many_classes_in_8_bit_masks_are_repaired_too(root: Path, tmp_path: Path) -> None:
    (root / "classes.txt").write_text("".join(f"class {chr(0x4E00 + index)}\n" for index in range(300)))
    save(root / "train/masks/1.png", np.where(label_map(1) == 2, 255, label_map(1)).astype(np.uint8))
    repair(diagnose(root), tmp_path / "repaired")
    labels = np.asarray(Image.open(tmp_path / "repaired/train/masks/1.png"))
    assert sorted(np.unique(labels).tolist()) == [0, 1, 65535]


def test_masks_of_other_names_and_numbers_are_repaired_at_once(root: Path, tmp_path: Path) -> None:
    make_binary(root)
    shutil.rmtree(root / "val")
    rename_masks(root)
    repair(diagnose(root), tmp_path / "repaired")
    labels = np.asarray(Image.open(tmp_path / "repaired/train/masks/1.png"))
    assert (labels == (label_map(1) == 2)).all()


def test_a_mask_is_told_to_be_renamed_as_the_file_that_is_written(root: Path, tmp_path: Path) -> None:
    rename_masks(root)
    for image in (root / "train/images").iterdir():
        Image.open(image).save(image.with_suffix(".tiff"))
        image.unlink()
    done = repair(diagnose(root), tmp_path / "repaired").repair
    assert done is not None
    assert done.done[0] == ("train/masks/0_mask.png", "renamed as 0.png")
    assert (tmp_path / "repaired/train/masks/0.png").is_file()


def test_masks_of_other_names_are_paired_also_without_folders_of_splits(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "val")
    rename_masks(root)
    for kind in ("images", "masks"):
        (root / "train" / kind).rename(root / kind)
    (root / "train").rmdir()
    diagnosis = diagnose(root)
    assert said(diagnosis)[0].startswith("error image-without-mask: 5 images in train have no mask: images/0.png")
    assert [finding.kind for finding in diagnosis.errors] == ["image-without-mask", "mask-without-image"]
    repair(diagnosis, tmp_path / "repaired")
    assert {split: len(found) for split, found in open_dataset(tmp_path / "repaired").splits.items()} == {"train": 5}


def test_a_lossy_mask_in_black_and_white_becomes_labels(root: Path, tmp_path: Path) -> None:
    make_binary(root, lambda labels: labels // 255)
    Image.fromarray(binary(label_map(1))).save(root / "train/masks/1.png", format="JPEG", quality=80)
    repair(diagnose(root), tmp_path / "repaired")
    labels = np.asarray(Image.open(tmp_path / "repaired/train/masks/1.png"))
    right = labels == (label_map(1) == 2)
    assert right[labels != 255].all()
    assert (labels == 255).mean() < 0.05


@pytest.mark.parametrize(
    ("classes", "bands"),
    [
        ("sky\nroad\ncar\n", 1),
        ("sky\nroad\ncar\n", 3),
        (CLASSES, 1),
        ("sky 0 0 0\nroad 255 0 0\ncar 0 255 0\n", 1),
        ("sky 0 0 0\nroad 100 100 100\ncar 200 200 200\n", 1),
    ],
    ids=["no colours", "no colours, RGB", "none black", "one black", "greys"],
)
def test_class_numbers_in_a_lossy_mask_are_left_out(root: Path, tmp_path: Path, classes: str, bands: int) -> None:
    (root / "classes.txt").write_text(classes, encoding="utf-8")
    numbers = label_map(1) if bands == 1 else np.stack([label_map(1)] * 3, axis=-1)
    Image.fromarray(numbers).save(root / "train/masks/1.png", format="JPEG", quality=75)
    diagnosis = repair(diagnose(root), tmp_path / "repaired")
    assert diagnosis.repair is not None
    (done,) = diagnosis.repair.done
    assert done.file == "train/images/1.png"
    assert done.what.startswith("left out: ")
    assert not (tmp_path / "repaired/train/masks/1.png").exists()


def test_numbers_of_two_classes_in_lossy_masks_are_not_taken_for_black(root: Path, tmp_path: Path) -> None:
    (root / "classes.txt").write_text("other\ncar\n", encoding="utf-8")
    for path in masks(root):
        labels = (np.asarray(Image.open(path)) == 2).astype(np.uint8)
        save(path, labels, **({"format": "JPEG", "quality": 95} if path.stem in "01" else {}))
    diagnosis = repair(diagnose(root), tmp_path / "repaired")
    assert diagnosis.repair is not None
    assert [each.file for each in diagnosis.repair.done] == ["train/images/0.png", "train/images/1.png"]


def test_a_lossy_mask_in_greys_that_classes_have_becomes_labels(root: Path, tmp_path: Path) -> None:
    greys = np.array([0, 100, 200], np.uint8)
    (root / "classes.txt").write_text("sky 0 0 0\nroad 100 100 100\ncar 200 200 200\n", encoding="utf-8")
    Image.fromarray(greys[label_map(1)]).save(root / "train/masks/1.png", format="JPEG", quality=90)
    repair(diagnose(root), tmp_path / "repaired")
    labels = np.asarray(Image.open(tmp_path / "repaired/train/masks/1.png"))
    assert (labels == label_map(1))[labels != 255].mean() > 0.99
    assert (labels == 255).mean() < 0.05


def test_a_black_lossy_mask_is_the_first_class_where_others_are_black_and_white(root: Path, tmp_path: Path) -> None:
    make_binary(root, lambda labels: labels // 255)
    for seed, labels in ((1, binary(label_map(1))), (2, np.zeros((HEIGHT, WIDTH), np.uint8))):
        Image.fromarray(labels).save(root / f"train/masks/{seed}.png", format="JPEG", quality=80)
    repair(diagnose(root), tmp_path / "repaired")
    assert not np.asarray(Image.open(tmp_path / "repaired/train/masks/2.png")).any()


def make_webdataset(root: Path, *keys: str) -> Path:
    """Shards of the pictures in `root`, of the classes there; `keys` are those of the first samples of each."""
    folder = root.with_name("shards")
    folder.mkdir()
    shutil.copyfile(root / "classes.txt", folder / "classes.txt")
    for split in ("train", "val"):
        with tarfile.open(folder / f"{split}.tar", "w") as shard:
            for file, key in zip(sorted((root / split / "images").iterdir()), keys, strict=False):
                shard.add(file, f"{key}.rgb.png")
                if (mask := root / split / "masks" / file.name).is_file():
                    shard.add(mask, f"{key}.seg.png")
    return folder


def contents(folder: Path) -> dict[str, list[str]]:
    """The names of the images and of the masks of each split, and whose they are."""
    dataset = open_dataset(folder)
    for samples in dataset.splits.values():
        for sample in samples:
            image, labels = load_sample(sample, dataset)
            (seed,) = (seed for seed in range(7) if (image == picture(seed)).all())
            assert sample.mask is None or (labels == label_map(seed)).all()
    return {split: [sample.image.name for sample in samples] for split, samples in dataset.splits.items()}


def test_images_of_one_name_in_other_folders_are_all_copied_with_their_masks(root: Path, tmp_path: Path) -> None:
    done = repair(diagnose(make_webdataset(root, "left/1", "right/1", "2")), tmp_path / "repaired").repair
    assert contents(tmp_path / "repaired") == {"train": ["1.png", "1_2.png", "2.png"], "val": ["1.png", "1_2.png"]}
    assert done is not None
    assert {each.what for each in done.done} == {"named 1_2, as another image is called 1"}
    assert {Path(each.file).name for each in done.done} == {"1.rgb.png"}


def test_images_without_a_mask_among_others_become_a_split_of_their_own(root: Path, tmp_path: Path) -> None:
    (root / "train/masks/1.png").unlink()
    done = repair(diagnose(make_webdataset(root, "0", "1", "2")), tmp_path / "repaired").repair
    wanted = {"train": ["0.png", "2.png"], "train_unlabelled": ["1.png"], "val": ["0.png", "1.png"]}
    assert contents(tmp_path / "repaired") == wanted
    assert done is not None
    assert [each.what for each in done.done] == ["put into the split train_unlabelled, as it has no mask"]


def test_an_image_whose_name_has_no_suffix_gets_that_of_its_format(root: Path, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra [arrow]")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "rows"
    folder.mkdir()
    shutil.copyfile(root / "classes.txt", folder / "classes.txt")
    cell = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    schema = arrow.schema([("image", cell), ("label", cell)])
    for split in ("train", "val"):
        columns = {
            name: [{"bytes": file.read_bytes(), "path": None} for file in sorted((root / split / kind).iterdir())]
            for name, kind in (("image", "images"), ("label", "masks"))
        }
        parquet.write_table(arrow.table(columns, schema=schema), folder / f"{split}-00000.parquet")
    repair(diagnose(folder), tmp_path / "repaired")
    assert contents(tmp_path / "repaired")["val"] == ["val_000000.png", "val_000001.png"]


def test_an_earlier_copy_is_not_replaced(root: Path, tmp_path: Path) -> None:
    (tmp_path / "repaired").mkdir()
    with pytest.raises(OutputError, match="repaired is there already; name another folder by --fix"):
        repair(diagnose(root), tmp_path / "repaired")


def test_nothing_is_ever_written_into_the_data_set(root: Path) -> None:
    with pytest.raises(OutputError, match="lies inside the data set"):
        repair(diagnose(root), root / "repaired")


def test_a_split_of_which_nothing_can_be_saved_is_not_silently_gone(root: Path, tmp_path: Path) -> None:
    for path in (root / "val/images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="has nothing of val"):
        repair(diagnose(root), tmp_path / "repaired")


def test_where_a_repair_does_not_help_nothing_is_written(root: Path, tmp_path: Path) -> None:
    one_label(root, "train", 1)
    with pytest.raises(DataError, match=r"what can be repaired of .* still has an error: every labelled pixel in"):
        repair(diagnose(root), tmp_path / "repaired")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_what_is_only_to_measure_on_is_repaired_too_and_what_is_left_is_told(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "train")
    save(root / "val/masks/5.png", label_map(5)[::2, ::2])
    done = repair(diagnose(root), tmp_path / "repaired").repair
    assert done is not None
    assert ([each.file for each in done.done], [finding.kind for finding in done.left]) == (
        ["val/masks/5.png"],
        ["no-train"],
    )
