"""Acts of sabotage on a sound data set, and what the doctor says of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from deeplab.data import survey
from deeplab.data.doctor import Diagnosis, examine
from deeplab.images import color_map

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

LISTS = {"train": "0123", "val": "45", "trainval": "012345", "trainaug": "01236", "all": "0123456"}


def write_lists(root: Path, **lists: str) -> None:
    (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    for split, stems in lists.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(stems))
