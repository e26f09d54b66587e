from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ._sabotage import diagnose, label_map, picture, rename_masks, said, save, with_exif


def test_masks_of_other_names_are_paired_in_splits_below_images_and_masks(root: Path) -> None:
    rename_masks(root)
    for split in ("train", "val"):
        for part in ("images", "masks"):
            (root / part).mkdir(exist_ok=True)
            (root / split / part).rename(root / part / split)
    found = diagnose(root)
    assert "Rename the masks as their images, as in 0_mask to 0" in " ".join(each.fix for each in found.findings)


def test_an_image_that_a_training_shrinks_too_far_is_told(root: Path) -> None:
    save(root / "train/images/1.png", np.repeat(picture(1)[:40], 40, axis=1))
    save(root / "train/masks/1.png", np.repeat(label_map(1)[:40], 40, axis=1))
    (line,) = [line for line in said(diagnose(root)) if "image-small" in line]
    assert line.endswith("train/images/1.png (40 x 2560, scaled to 16 x 1024)")


def test_a_mask_that_was_drawn_on_the_upright_image_is_in_order(root: Path) -> None:
    path = root / "train/images/1.png"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    with_exif(path, 6)
    assert said(diagnose(root)) == []
