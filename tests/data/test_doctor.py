"""Broken data sets, each made from a sound one by a single act of sabotage, and what the doctor says of them."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.data import DataSet, Sample, load_sample, open_dataset, regroup, survey
from deeplab.data.doctor import KINDS, Diagnosis, examination, examine, repair, write_page
from deeplab.data.doctor import remembered as memory
from deeplab.data.doctor.duplicates import alike, fingerprint
from deeplab.data.doctor.inspection import Inspection, inspect
from deeplab.errors import DataError, OutputError
from deeplab.images import color_map, turn_upright

HEIGHT, WIDTH = 48, 64
CLASSES = "sky 10 20 200\nroad 90 90 90\ncar 200 30 30\n"
PALETTE = np.array([[10, 20, 200], [90, 90, 90], [200, 30, 30]], np.uint8)
ORIENTATION_TAG = 0x0112

Break = Callable[[Path], object]


def picture(seed: int) -> np.ndarray:
    """Coloured blocks, (HEIGHT, WIDTH, 3)."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def label_map(seed: int) -> np.ndarray:
    """Sky over road with a car, (HEIGHT, WIDTH)."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[20 + seed :] = 1
    labels[22 + seed : 42, 10 + seed : 40] = 2
    return labels


def save(path: Path, array: np.ndarray, **options: object) -> None:
    Image.fromarray(array).save(path, **options)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training and two validation samples, all in order."""
    root = tmp_path_factory.mktemp("sound") / "data"
    for split, seeds in (("train", range(5)), ("val", range(5, 7))):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for seed in seeds:
            save(root / split / "images" / f"{seed}.png", picture(seed))
            save(root / split / "masks" / f"{seed}.png", label_map(seed))
    (root / "classes.txt").write_text(CLASSES, encoding="utf-8")
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of them, to be broken."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


def diagnose(root: Path, **options: object) -> Diagnosis:
    dataset, strays = survey(root)
    return examine(dataset, strays=strays, **options)


def said(diagnosis: Diagnosis) -> list[str]:
    """The findings, one line each."""
    return [f"{each.severity} {each.kind}: {each.sentence(diagnosis.dataset.root)}" for each in diagnosis.findings]


def masks(root: Path) -> list[Path]:
    return sorted(root.glob("*/masks/*.png"))


def map_labels(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Save every mask anew."""
    for path in masks(root):
        save(path, change(np.asarray(Image.open(path))))


def in_colors(labels: np.ndarray) -> np.ndarray:
    return PALETTE[labels]


def smoothed(array: np.ndarray) -> np.ndarray:
    """Every other pixel, enlarged again as a photo is, so that new values appear along borders."""
    return np.asarray(Image.fromarray(array[::2, ::2]).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_jpeg(path: Path) -> None:
    """The same picture as JPEG, truncated."""
    Image.open(path).save(path.with_suffix(".jpg"), quality=95)
    path.unlink()
    truncate(path.with_suffix(".jpg"))


def with_exif(path: Path, orientation: int) -> None:
    image = Image.open(path)
    image.load()
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    image.save(path, exif=exif)


def paste_palette(root: Path) -> None:
    """Save a mask with colours of its own numbering, as programs do that reduce colours."""
    labels = label_map(0)
    image = Image.fromarray(np.array([1, 0, 2], np.uint8)[labels])
    image.putpalette(PALETTE[[1, 0, 2]].tobytes())
    image.save(root / "train/masks/0.png")


def one_label(root: Path, split: str, label: int) -> None:
    for path in (root / split / "masks").iterdir():
        save(path, np.full((HEIGHT, WIDTH), label, np.uint8))


def copy(root: Path, source: str, target: str) -> None:
    for kind in ("images", "masks"):
        shutil.copyfile(root / source.replace("KIND", kind), root / target.replace("KIND", kind))


def compress_copy(root: Path) -> None:
    copy(root, "val/KIND/5.png", "train/KIND/again.png")
    image = Image.open(root / "val/images/5.png").resize((WIDTH * 2, HEIGHT * 2))
    image.save(root / "train/images/again.jpg", quality=60)
    (root / "train/images/again.png").unlink()
    large = np.asarray(Image.open(root / "train/masks/again.png")).repeat(2, axis=0).repeat(2, axis=1)
    save(root / "train/masks/again.png", large)


def relabel_copy(root: Path) -> None:
    copy(root, "train/KIND/1.png", "train/KIND/again.png")
    save(root / "train/masks/again.png", np.where(label_map(1) == 2, 1, label_map(1)).astype(np.uint8))


def rename_masks(root: Path) -> None:
    for path in (root / "train/masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))


def tiny_classes(root: Path, count: int) -> None:
    (root / "classes.txt").write_text("".join(CLASSES.splitlines(keepends=True)[:count]), encoding="utf-8")


def binary(labels: np.ndarray) -> np.ndarray:
    return (labels == 2).astype(np.uint8) * 255


def make_binary(root: Path, change: Callable[[np.ndarray], np.ndarray] = lambda labels: labels) -> None:
    tiny_classes(root, 2)
    map_labels(root, lambda labels: change(binary(labels)))


def dots(root: Path) -> None:
    """Only one car is left of each class, and many dots of it."""
    for path in masks(root):
        labels = np.where(label_map(int(path.stem)) == 2, 1, label_map(int(path.stem))).astype(np.uint8)
        labels[2:18:6, 2:60:6] = 2
        save(path, labels)


SABOTAGE: dict[str, tuple[Break, str]] = {
    "no mask": (
        lambda root: (root / "train/masks/1.png").unlink(),
        "error image-without-mask: 1 image in train has no mask: train/images/1.png",
    ),
    "no images": (
        lambda root: [(root / f"train/images/{stem}.png").unlink() for stem in "12"],
        "error mask-without-image: 2 masks in train have no image: train/masks/1.png, train/masks/2.png",
    ),
    "masks of other names": (
        rename_masks,
        "error image-without-mask: 5 images in train have no mask: train/images/0.png, train/images/1.png, "
        "train/images/2.png, and 2 more",
    ),
    "one stem twice": (
        lambda root: Image.open(root / "train/images/1.png").save(root / "train/images/1.jpg"),
        "error same-stem: 1.jpg and 1.png have the same stem in images: train/images/1.jpg, train/images/1.png",
    ),
    "truncated image": (
        lambda root: truncate(root / "train/images/1.png"),
        "error image-unreadable: 1 image cannot be read: train/images/1.png (image file is truncated",
    ),
    "truncated JPEG": (
        lambda root: as_jpeg(root / "train/images/1.png"),
        "error image-unreadable: 1 image cannot be read: train/images/1.jpg (image file is truncated",
    ),
    "empty image": (
        lambda root: (root / "val/images/5.png").write_bytes(b""),
        "error image-unreadable: 1 image cannot be read: val/images/5.png (the file is empty (0 bytes))",
    ),
    "truncated mask": (
        lambda root: (root / "train/masks/1.png").write_bytes((root / "train/masks/1.png").read_bytes()[:60]),
        "error mask-unreadable: 1 mask cannot be read: train/masks/1.png (",
    ),
    "text as mask": (
        lambda root: (root / "train/masks/1.png").write_text("0 1 2"),
        "error mask-unreadable: 1 mask cannot be read: train/masks/1.png (holds none of JPEG",
    ),
    "JPEG mask": (
        lambda root: Image.fromarray(label_map(1)).save(root / "train/masks/1.png", format="JPEG"),
        "error mask-lossy: 1 mask saved with loss: train/masks/1.png (JPEG, which changes labels along borders)",
    ),
    "other colours": (
        lambda root: save(root / "train/masks/1.png", color_map(3)[label_map(1)]),
        "error mask-colours: 1 mask with colours that are no class's: train/masks/1.png (100.0% of the pixels are of "
        "no class's colour: 0 0 0, 128 0 0, 0 128 0)",
    ),
    "colours with smoothed edges": (
        lambda root: save(root / "train/masks/1.png", smoothed(in_colors(label_map(1)))),
        "error mask-colours: 1 mask with colours that are no class's: train/masks/1.png (",
    ),
    "transparent mask": (
        lambda root: save(root / "train/masks/1.png", np.dstack([in_colors(label_map(1)), 100 * label_map(1)])),
        "error mask-kind: 1 mask without one class a pixel: train/masks/1.png (a mask has no transparent pixels, came "
        "one at (row 0, column 0))",
    ),
    "float mask": (
        lambda root: Image.fromarray(label_map(1).astype(np.float32)).save(root / "train/masks/1.png", format="TIFF"),
        "error mask-kind: 1 mask without one class a pixel: train/masks/1.png (a mask holds integer class indices, "
        "one a pixel; came mode F)",
    ),
    "smaller mask": (
        lambda root: save(root / "train/masks/1.png", label_map(1)[::2, ::2]),
        "error size: 1 mask does not have the size of its image: train/masks/1.png "
        "(24 x 32 (height x width), image 48 x 64)",
    ),
    "transposed mask": (
        lambda root: save(root / "train/masks/1.png", label_map(1).T.copy()),
        "error size: 1 mask does not have the size of its image: train/masks/1.png "
        "(64 x 48 (height x width), image 48 x 64; transposed)",
    ),
    "EXIF on the image only": (
        lambda root: with_exif(root / "train/images/1.png", 6),
        "error orientation: 1 mask fits its image as stored, not as EXIF turns it: train/masks/1.png "
        "(EXIF orientation 1, image 6)",
    ),
    "EXIF on the mask only": (
        lambda root: with_exif(root / "train/masks/1.png", 8),
        "error orientation: 1 mask fits its image as stored, not as EXIF turns it: train/masks/1.png "
        "(EXIF orientation 8, image 1)",
    ),
    "EXIF that does not show in the size": (
        lambda root: with_exif(root / "train/images/1.png", 3),
        "warning orientation-unclear: 1 image turned by EXIF, of a mask that is not turned alike: train/masks/1.png "
        "(EXIF orientation 1, image 3)",
    ),
    "label out of range": (
        lambda root: save(root / "train/masks/1.png", np.where(label_map(1) == 2, 7, label_map(1)).astype(np.uint8)),
        "error label-range: 1 mask with labels that are no class: train/masks/1.png "
        "(label 7 at (row 23, column 11) is outside 0..2)",
    ),
    "16-bit label out of range": (
        lambda root: save(root / "train/masks/1.png", label_map(1).astype(np.uint16) * 1000),
        "error label-range: 1 mask with labels that are no class: train/masks/1.png "
        "(label 1000 at (row 21, column 0) is outside 0..2)",
    ),
    "numbers spread over 0..255": (
        lambda root: map_labels(root, lambda labels: (labels * 127.5).astype(np.uint8)),
        "error label-range: 7 masks with labels that are no class: train/masks/0.png "
        "(label 127 at (row 20, column 0) is outside 0..2), ",
    ),
    "numbers from 1": (
        lambda root: map_labels(root, lambda labels: labels + 1),
        "error label-range: 7 masks with labels that are no class: train/masks/0.png "
        "(label 3 at (row 22, column 10) is outside 0..2), ",
    ),
    "0 and 255": (make_binary, "error labels-0-255: the masks hold 0 and 255 only: train/masks/0.png, "),
    "0 and 255 with smoothed edges": (
        lambda root: make_binary(root, smoothed),
        "error label-range: 7 masks with labels that are no class: train/masks/0.png (label ",
    ),
    "0 and 255 in one mask": (
        lambda root: [
            make_binary(root, lambda labels: labels // 255),
            save(root / "train/masks/1.png", binary(label_map(1))),
        ],
        "warning labels-0-255-mixed: 1 mask of 0 and 255 only, where others have 1: train/masks/1.png",
    ),
    "labels scaled like photos": (
        lambda root: save(root / "train/masks/1.png", smoothed(2 * (label_map(1) % 2))),
        "warning mask-smoothed: 1 mask with other classes along the borders: train/masks/1.png (",
    ),
    "nothing labelled": (
        lambda root: one_label(root, "train", 255),
        "error nothing-labelled: every pixel of the masks in train is 255, to be ignored",
    ),
    "one class": (
        lambda root: one_label(root, "train", 1),
        "error one-class-only: every labelled pixel in train is 'road'",
    ),
    "one empty mask": (
        lambda root: save(root / "train/masks/1.png", np.full((HEIGHT, WIDTH), 255, np.uint8)),
        "warning mask-empty: 1 mask in which every pixel is to be ignored: train/masks/1.png",
    ),
    "one plain mask": (
        lambda root: save(root / "train/masks/1.png", np.zeros((HEIGHT, WIDTH), np.uint8)),
        "note mask-plain: 1 mask of a single class: train/masks/1.png (all 'sky')",
    ),
    "mostly ignored": (
        lambda root: map_labels(
            root, lambda labels: np.where(np.arange(WIDTH) % 64 < 48, 255, (labels + 2) % 3).astype(np.uint8)
        ),
        "warning mostly-ignored: 75% of all pixels are to be ignored",
    ),
    "a class too many": (
        lambda root: (root / "classes.txt").write_text(f"{CLASSES}tree 0 99 0\n"),
        "warning class-never: in no mask: tree",
    ),
    "a class only in val": (
        lambda root: [
            save(path, np.minimum(label_map(int(path.stem)), 1)) for path in (root / "train/masks").iterdir()
        ],
        "warning class-untrained: not in train: car (in val)",
    ),
    "a class only in train": (
        lambda root: [save(path, np.minimum(label_map(int(path.stem)), 1)) for path in (root / "val/masks").iterdir()],
        "note class-unmeasured: in train but not in val: car",
    ),
    "a rare class": (
        lambda root: map_labels(
            root, lambda labels: np.where((labels == 2) & (np.arange(WIDTH) != 20), 1, labels).astype(np.uint8)
        ),
        "note imbalance: the rarest classes of train: car 0.",
    ),
    "a palette of its own": (
        paste_palette,
        "warning palette: 1 mask in which a class has another one's colour: train/masks/0.png "
        "(label 0 has the colour of class 1, 'road')",
    ),
    "masks in colours": (
        lambda root: map_labels(root, in_colors),
        "note mask-in-colours: 7 masks in colours: train/masks/0.png, train/masks/1.png, train/masks/2.png, and 4 more",
    ),
    "dots": (dots, "warning small-objects: most of what is car (100% of 210 objects) lies in objects below 16 x 16"),
    "many borders": (
        lambda root: map_labels(root, lambda labels: (np.indices(labels.shape).sum(axis=0) // 4 % 3).astype(np.uint8)),
        "note borders: ",
    ),
    "the same image in two splits": (
        lambda root: copy(root, "val/KIND/5.png", "train/KIND/again.png"),
        "warning copies-across-splits: 1 image in two splits: train/images/again.png = val/images/5.png "
        "(the same file)",
    ),
    "nearly the same image in two splits": (
        compress_copy,
        "warning copies-across-splits: 1 image in two splits: train/images/again.jpg = val/images/5.png (look alike)",
    ),
    "the same image twice": (
        lambda root: copy(root, "train/KIND/1.png", "train/KIND/again.png"),
        "note copies: 2 images that look alike, in 1 group: train/images/1.png = train/images/again.png",
    ),
    "the same image with other labels": (
        relabel_copy,
        "warning copies-labelled-differently: 1 image that occurs twice, with other labels: train/images/1.png = "
        "train/images/again.png (about ",
    ),
    "no split train": (
        lambda root: shutil.rmtree(root / "train"),
        "error no-train: no images in split 'train'",
    ),
    "empty train": (
        lambda root: [path.unlink() for path in root.glob("train/*/*")],
        "error no-train: no images in split 'train'",
    ),
    "train without masks": (
        lambda root: shutil.rmtree(root / "train/masks"),
        "error no-train: no masks in split 'train'",
    ),
    "no split val": (lambda root: shutil.rmtree(root / "val"), "note no-split: no images in split 'val'"),
    "small image": (
        lambda root: [
            save(root / "train/images/1.png", picture(1)[:20]),
            save(root / "train/masks/1.png", label_map(1)[10:30]),
        ],
        "warning image-small: 1 image with a side below 32 pixels, two cells of the features at output stride 16: "
        "train/images/1.png (20 x 64)",
    ),
    "large image": (
        lambda root: [
            save(root / "train/images/1.png", picture(1).repeat(20, axis=0).repeat(20, axis=1)),
            save(root / "train/masks/1.png", label_map(1).repeat(20, axis=0).repeat(20, axis=1)),
        ],
        "note image-large: 1 image longer than 1024 pixels: train/images/1.png (960 x 1280, scaled to 768 x 1024)",
    ),
    "blank image": (
        lambda root: save(root / "train/images/1.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        "warning image-blank: 1 image of one colour only: train/images/1.png",
    ),
    "grey image": (
        lambda root: save(root / "train/images/1.png", picture(1)[..., 0]),
        "note image-grey: 1 image of 7 in grey: train/images/1.png",
    ),
    "transparent image": (
        lambda root: save(root / "train/images/1.png", np.dstack([picture(1), picture(2)[..., :1]])),
        "note image-alpha: 1 image with transparency: train/images/1.png",
    ),
    "image with pages": (
        lambda root: Image.fromarray(picture(1)).save(
            root / "train/images/1.png", save_all=True, append_images=[Image.fromarray(picture(2))]
        ),
        "note image-several: 1 image with more than one picture: train/images/1.png (2)",
    ),
    "16-bit image": (
        lambda root: save(root / "train/images/1.png", picture(1)[..., 0].astype(np.uint16) * 16),
        "note image-deep: 1 image of more than 8 bits: train/images/1.png",
    ),
    "16-bit images of two depths": (
        lambda root: [
            save(root / f"train/images/{seed}.png", picture(seed)[..., 0].astype(np.uint16) * scale)
            for seed, scale in ((1, 16), (2, 16), (3, 4))
        ],
        "warning image-depths: 1 image of 3 scaled by another bit depth than others: train/images/3.png "
        "(0..1023, others 0..4095)",
    ),
}
"""What was done to the sound data set, and the line that the doctor has to say, or how it begins."""


def test_a_sound_data_set_has_no_findings(root: Path) -> None:
    assert said(diagnose(root)) == []


@pytest.mark.parametrize("act", SABOTAGE)
def test_each_act_of_sabotage_is_told_in_a_line(root: Path, act: str) -> None:
    damage, line = SABOTAGE[act]
    damage(root)
    told = said(diagnose(root))
    assert [each for each in told if each.startswith(line)], told


@pytest.mark.parametrize("act", [act for act, (_, line) in SABOTAGE.items() if not line.startswith("error")])
def test_what_a_training_can_do_is_no_error(root: Path, act: str) -> None:
    SABOTAGE[act][0](root)
    assert diagnose(root).errors == ()


def test_every_kind_of_finding_is_provoked_here() -> None:
    assert {line.split(":")[0] for _, line in SABOTAGE.values()} == {
        f"{kind.severity} {name}" for name, kind in KINDS.items()
    }


@pytest.mark.parametrize(
    ("act", "fix"),
    [
        ("masks of other names", "Rename the masks as their images, as in 0_mask to 0; --fix does."),
        ("transposed mask", "Turn the masks: export (height, width), not (width, height)."),
        ("numbers spread over 0..255", "spread over 0..255, as in 0, 128, 255: divide them by 127.5; --fix does."),
        ("numbers from 1", "The classes are counted from 1: subtract 1; --fix does."),
        ("0 and 255 with smoothed edges", "0 and 255 with smoothed edges: export the masks without smoothing"),
        ("0 and 255", "Write 1 instead of 255."),
    ],
)
def test_the_way_out_is_that_of_the_cause(root: Path, act: str, fix: str) -> None:
    SABOTAGE[act][0](root)
    assert fix in " ".join(finding.fix for finding in diagnose(root).findings)


def test_of_frames_that_are_all_alike_the_nearest_of_each_split_are_told() -> None:
    still = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    prints = ["", *[fingerprint(still)] * 50, fingerprint(255 - still)]
    pairs = list(alike(prints, ["train"] * 40 + ["val"] * 12))
    assert pairs == sorted(set(pairs))
    assert {index for pair in pairs for index in pair} == set(range(1, 51))
    for index in range(1, 51):
        assert any(index in pair and pair[0] < 40 <= pair[1] for pair in pairs)
    assert len(pairs) <= 50 * 16


def test_equal_files_are_found_among_many_that_look_alike(root: Path) -> None:
    still = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for split, seed in (("train", 1), ("val", 1)):
        mask = next((root / split / "masks").iterdir()).read_bytes()
        for number in range(12):
            frame = np.clip(still + np.random.default_rng((seed, number)).normal(0, 1, still.shape), 0, 255)
            Image.fromarray(frame.astype(np.uint8)).save(root / f"{split}/images/still{number:02}.png")
            (root / f"{split}/masks/still{number:02}.png").write_bytes(mask)
    (finding,) = (each for each in diagnose(root).findings if each.kind == "copies-across-splits")
    same = {case.files[0].stem for case in finding.cases if case.remark == "the same file"}
    assert same == {f"still{number:02}" for number in range(12)}


def test_masks_of_other_names_are_paired_in_splits_below_images_and_masks(root: Path) -> None:
    rename_masks(root)
    for split in ("train", "val"):
        for part in ("images", "masks"):
            (root / part).mkdir(exist_ok=True)
            (root / split / part).rename(root / part / split)
    found = diagnose(root)
    assert "Rename the masks as their images, as in 0_mask to 0" in " ".join(each.fix for each in found.findings)


@pytest.mark.parametrize(
    ("labels", "num_classes", "guess"),
    [
        ([0, 1, 2, 3], 3, "or, if 0 means unlabelled and the classes are counted from 1, as in ADE20K"),
        ([7, 8, 11, 26, 33], 19, "These look like the labelIds of Cityscapes: take the files labelTrainIds."),
        ([7, 33, 65535], 19, "These look like the labelIds of Cityscapes: take the files labelTrainIds."),
        ([0, 1000, 1001, 2000], 3, "These look like objects, class * 1000 + number: divide by 1000."),
    ],
)
def test_known_numberings_are_recognised(root: Path, labels: list[int], num_classes: int, guess: str) -> None:
    (root / "classes.txt").write_text("".join(f"class {chr(97 + index)}\n" for index in range(num_classes)))
    values = np.array(labels, np.uint16 if max(labels) > 255 else np.uint8)
    map_labels(root, lambda old: values[np.arange(WIDTH) * len(values) // WIDTH + np.zeros_like(old)])
    (finding,) = [each for each in diagnose(root).findings if each.kind == "label-range"]
    assert guess in finding.fix


@pytest.mark.parametrize("act", ["dots", "small image"])
def test_a_long_side_that_enlarges_or_shrinks_is_reckoned_with(root: Path, act: str) -> None:
    SABOTAGE[act][0](root)
    kind = SABOTAGE[act][1].split(":")[0].split()[1]

    def is_told(long_side: int | None) -> bool:
        return any(finding.kind == kind for finding in diagnose(root, long_side=long_side).findings)

    assert [is_told(side) for side in (None, 64, 1024, 4096)] == [True, True, False, False]
    assert is_told(16)


@pytest.mark.parametrize(("side", "told"), [(8, True), (18, False)])
def test_objects_are_small_where_their_area_is_below_that_of_a_cell(root: Path, side: int, told: bool) -> None:
    for path in masks(root):
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[2 : 2 + side, 2 : 2 + side] = labels[2 : 2 + side, 32 : 32 + side] = 2
        save(path, labels)
    assert told == any(finding.kind == "small-objects" for finding in diagnose(root).findings)


def test_small_objects_are_no_finding_where_large_ones_have_most_of_the_pixels(root: Path) -> None:
    for path in masks(root):
        labels = label_map(int(path.stem))
        labels[2, 2:60:6] = 2
        save(path, labels)
    assert not any(finding.kind == "small-objects" for finding in diagnose(root).findings)


def test_an_image_that_a_training_shrinks_too_far_is_told(root: Path) -> None:
    save(root / "train/images/1.png", np.repeat(picture(1)[:40], 40, axis=1))
    save(root / "train/masks/1.png", np.repeat(label_map(1)[:40], 40, axis=1))
    (line,) = [line for line in said(diagnose(root)) if "image-small" in line]
    assert line.endswith("train/images/1.png (40 x 2560, scaled to 16 x 1024)")


def test_ignored_pixels_are_no_finding(root: Path) -> None:
    map_labels(root, lambda labels: np.where(np.arange(WIDTH) < 8, 255, labels).astype(np.uint8))
    assert said(diagnose(root)) == []


def test_a_mask_that_was_drawn_on_the_upright_image_is_in_order(root: Path) -> None:
    path = root / "train/images/1.png"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    with_exif(path, 6)
    assert said(diagnose(root)) == []


LISTS = {"train": "0123", "val": "45", "trainval": "012345", "trainaug": "01236", "all": "0123456"}


@pytest.fixture
def voc(root: Path) -> Path:
    """The pictures in VOC's layout, in lists that have images in common by design."""
    for kind, name in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
        (root / name).mkdir()
        for file in root.glob(f"*/{kind}/*.png"):
            file.rename(root / name / file.name)
    for split in ("train", "val"):
        shutil.rmtree(root / split)
    write_lists(root, **LISTS)
    return root


def write_lists(root: Path, **lists: str) -> None:
    (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    for split, stems in lists.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(stems))


def test_lists_that_have_images_in_common_by_design_are_no_copies(voc: Path, tmp_path: Path) -> None:
    assert said(diagnose(voc)) == []
    repair(diagnose(voc), tmp_path / "repaired")
    splits = open_dataset(tmp_path / "repaired").splits
    assert {split: "".join(sample.image.stem for sample in samples) for split, samples in splits.items()} == LISTS


@pytest.mark.parametrize("learnt", ["train", "trainaug"])
def test_an_image_that_is_learnt_from_and_measured_on_is_told_and_kept_to_measure_on(
    voc: Path, tmp_path: Path, learnt: str
) -> None:
    write_lists(voc, **{**LISTS, learnt: LISTS[learnt] + "4"})
    diagnosis = diagnose(voc)
    assert said(diagnosis) == [
        "warning copies-across-splits: 1 image in two splits: JPEGImages/4.png = JPEGImages/4.png (the same file)"
    ]
    repair(diagnosis, tmp_path / "repaired")
    splits = open_dataset(tmp_path / "repaired").splits
    assert {split: "".join(sample.image.stem for sample in samples) for split, samples in splits.items()} == LISTS


def test_an_image_that_a_list_has_twice_is_told_and_copied_once(voc: Path, tmp_path: Path) -> None:
    write_lists(voc, val="4545")
    assert said(diagnose(voc)) == [
        "note copies: 4 images that look alike, in 2 groups: JPEGImages/4.png = JPEGImages/4.png, "
        "JPEGImages/5.png = JPEGImages/5.png"
    ]
    repair(diagnose(voc), tmp_path / "repaired")
    assert len(open_dataset(tmp_path / "repaired").split("val")) == 2


def test_lists_of_everything_hide_no_copy(voc: Path) -> None:
    for kind in ("JPEGImages", "SegmentationClass"):
        shutil.copyfile(voc / kind / "4.png", voc / kind / "3.png")
    kinds = [finding.kind for finding in diagnose(voc).findings]
    assert kinds == ["copies-across-splits", "copies"]  # train and val; trainval


def test_an_image_in_two_lists_is_read_once_for_each_mask_that_it_has(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "WORTHWHILE", 2)
    (voc / "SegmentationClassAug").mkdir()
    save(voc / "SegmentationClassAug/0.png", np.minimum(label_map(0), 1))
    reads: list[str] = []

    def read(sample: Sample, dataset: DataSet) -> Inspection:
        reads.append(sample.image.stem)
        return inspect(sample, dataset)

    monkeypatch.setattr(examination, "inspect", read)
    before = diagnose(voc).evidence
    assert sorted(reads) == list("00123456")
    assert diagnose(voc).evidence.examined == before.examined
    assert len(reads) == 8
    images = {split: count.images.tolist() for split, count in before.counts.items()}
    assert (images["train"], images["trainaug"]) == ([4, 4, 4], [5, 5, 4])


def test_joined_classes_are_counted_as_one(root: Path) -> None:
    dataset = regroup(open_dataset(root), ["sky", "ground=road|car"])
    diagnosis = examine(dataset)
    assert said(diagnosis) == []
    pixels = diagnosis.evidence.counts["val"].pixels
    assert pixels.tolist() == [sum(int((label_map(seed) == 0).sum()) for seed in (5, 6)), 2 * 48 * 64 - pixels[0]]


def test_counts_are_those_of_the_masks(root: Path) -> None:
    count = diagnose(root).evidence.counts["train"]
    maps = [label_map(seed) for seed in range(5)]
    assert count.pixels.tolist() == [sum(int((each == label).sum()) for each in maps) for label in range(3)]
    assert count.images.tolist() == [5, 5, 5]
    assert count.objects.sum(axis=1).tolist() == [5, 5, 5]


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are read, while even few are remembered."""
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "WORTHWHILE", 2)
    found: list[str] = []

    def read(sample: Sample, dataset: DataSet) -> Inspection:
        found.append(sample.image.name)
        return inspect(sample, dataset)

    monkeypatch.setattr(examination, "inspect", read)
    return found


def test_what_was_read_is_remembered_until_a_file_changes(root: Path, reads: list[str]) -> None:
    before = diagnose(root)
    reads.clear()
    again = diagnose(root)
    assert (reads, again.evidence.examined) == ([], before.evidence.examined)
    save(root / "train/masks/1.png", label_map(9) * 100)
    assert [finding.kind for finding in diagnose(root).errors] == ["label-range"]
    assert reads == ["1.png"]


def test_a_file_that_was_written_anew_is_read_again_though_its_size_is_the_same(root: Path, reads: list[str]) -> None:
    diagnose(root)
    reads.clear()
    status = (root / "train/masks/1.png").stat()
    os.utime(root / "train/masks/1.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    diagnose(root)
    assert reads == ["1.png"]


def test_all_is_read_again_once_the_classes_have_other_colours(root: Path, reads: list[str]) -> None:
    diagnose(root)
    before = sorted(reads)
    reads.clear()
    (root / "classes.txt").write_text(CLASSES.replace("200 30 30", "30 200 30"), encoding="utf-8")
    diagnose(root)
    assert sorted(reads) == before


def test_a_cache_that_cannot_be_read_or_written_is_no_obstacle(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "WORTHWHILE", 2)
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    diagnose(root)
    (file,) = (tmp_path / "cache/doctor").iterdir()
    file.write_text("[")
    assert said(diagnose(root)) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "file"))
    assert said(diagnose(root)) == []


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


def repeated(*labels: int, dtype: type = np.uint8) -> np.ndarray:
    """These labels pixel by pixel, again and again, (HEIGHT, WIDTH)."""
    return np.resize(np.array(labels, dtype), (HEIGHT, WIDTH))


def fill(root: Path, num_classes: int, labels: np.ndarray) -> None:
    """So many classes, and the same labels in every mask."""
    names = "".join(f"class {chr(0x4E00 + index)}\n" for index in range(num_classes))
    (root / "classes.txt").write_text(names, encoding="utf-8")
    map_labels(root, lambda _: labels)


@pytest.mark.parametrize(
    ("num_classes", "labels", "stray"),
    [
        (300, repeated(*range(300), 65535, dtype=np.uint16), None),
        (300, repeated(0, 255, dtype=np.uint16), None),
        (150, repeated(*range(150), 255), 200),
        (19, repeated(*range(19), 255), 200),
        (52, repeated(0, 5, 255), 60),
        (3, repeated(0, 1, 65535, dtype=np.uint16), None),
        (3, repeated(0, 1, 65535, dtype=np.uint16), 4),
        (2, repeated(*[0] * 9, 1, *[255] * 10), 7),
    ],
    ids=lambda value: None if isinstance(value, np.ndarray) else str(value),
)
def test_labels_that_are_right_are_never_renumbered(
    root: Path, tmp_path: Path, num_classes: int, labels: np.ndarray, stray: int | None
) -> None:
    fill(root, num_classes, labels)
    dropped = labels == np.iinfo(labels.dtype).max
    if stray is not None:
        labels[5, 7], dropped[5, 7] = stray, True
        save(root / "train/masks/0.png", labels)
    diagnosis = repair(diagnose(root), tmp_path / "repaired")
    assert diagnosis.repair is not None
    assert [each.file for each in diagnosis.repair.done] == ["train/masks/0.png"] * (stray is not None)
    dataset = open_dataset(tmp_path / "repaired")
    repaired = load_sample(dataset.split("train")[0], dataset)[1]
    np.testing.assert_array_equal(repaired, np.where(dropped, dataset.ignore_index, labels))


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (repeated(1, 2, 3, 65535, dtype=np.uint16), (0, 1, 2, 255)),
        (repeated(1, 2, 3, 255), (0, 1, 2, 255)),
        (repeated(0, 127, 255), (0, 1, 2)),
        (repeated(0, 128, 255), (0, 1, 2)),
    ],
    ids=["from one in 16 bits", "from one", "spread, rounded down", "spread, rounded up"],
)
def test_labels_in_another_clear_numbering_become_class_numbers(
    root: Path, tmp_path: Path, labels: np.ndarray, wanted: tuple[int, ...]
) -> None:
    fill(root, 3, labels)
    repair(diagnose(root), tmp_path / "repaired")
    dataset = open_dataset(tmp_path / "repaired")
    np.testing.assert_array_equal(load_sample(dataset.split("val")[0], dataset)[1], repeated(*wanted))


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


def test_the_page_is_one_file_with_pictures_of_what_was_found(root: Path, tmp_path: Path) -> None:
    relabel_copy(root)
    (root / "classes.txt").write_text(f"{CLASSES}<b>tree</b>\n")
    truncate(root / "val/images/5.png")
    write_page(tmp_path / "page.html", diagnose(root))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;tree&lt;/b&gt;" in text
    assert "<b>" not in text
    assert not re.findall(r"(?:https?:)?//\w", re.sub(r"data:image/png;base64,[^\"]*", "", text))
    assert text.count("<figure>") == 3  # two copies twice, and the mask of the image that cannot be read
    assert "prefers-color-scheme: dark" in text


def test_the_table_in_the_documentation_is_that_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE)
    assert rows == [(name, kind.severity, kind.why, kind.fix, kind.repair) for name, kind in KINDS.items()]


@pytest.mark.parametrize(
    "name", ["camvid", "clothing_ccp", "coco128_voc21", "dubai_aerial", "dsb2018_nuclei96", "isbi2012_em"]
)
def test_the_first_real_samples_raise_no_error(shared: Path, name: str) -> None:
    dataset = open_dataset(shared / "data" / name)
    few = {split: samples[:12] for split, samples in dataset.splits.items()}
    kinds = [finding.kind for finding in examine(replace(dataset, splits=few)).errors]
    assert kinds == ([] if "train" in few else ["no-train"])


def test_a_photo_that_is_in_two_splits_of_a_real_data_set_is_found(shared: Path) -> None:
    root = shared / "data/clothing_ccp"
    samples = [Sample(root / "train/images/0183.jpg"), Sample(root / "test/images/0730.jpg")]
    splits = {"train": (samples[0],), "test": (samples[1],)}
    kinds = [finding.kind for finding in examine(replace(open_dataset(root), splits=splits)).findings]
    assert kinds == ["no-train", "copies-across-splits", "no-split"]
