"""Every kind of finding: how bad it is, why it matters, and the way out; docs/doctor.md has the same table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["KINDS", "SEVERITIES", "Kind", "Severity"]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Kind:
    """What holds for each finding of a kind."""

    severity: Severity
    """A training refuses an error."""
    why: str
    fix: str
    """Where it depends on what was found, the finding says it."""
    repair: str = ""
    """What `--fix` does about it; "": nothing."""


LEFT_OUT = "left out"

KINDS = {
    # files
    "image-without-mask": Kind(
        "error",
        "Nothing says what is in these images.",
        "Put the mask, as <stem>.png, beside those of the others, or take the image out; a split without a folder "
        "'masks' is unlabelled.",
        "paired where the masks' names have the same addition, else left out",
    ),
    "mask-without-image": Kind(
        "error",
        "There is no image that these masks are of.",
        "Put the image, of the same stem, into the folder 'images', or take the mask out.",
        "paired where the masks' names have the same addition, else left out",
    ),
    "same-stem": Kind(
        "error", "Which of them belongs to the mask cannot be known.", "Keep one, or rename the others.", LEFT_OUT
    ),
    "image-unreadable": Kind(
        "error", "A training would stop at this file.", "Fetch or save it again, or take it out.", LEFT_OUT
    ),
    "mask-unreadable": Kind(
        "error", "A training would stop at this file.", "Fetch or save it again, or take it out.", LEFT_OUT
    ),
    # masks that do not hold labels
    "mask-lossy": Kind(
        "error",
        "Compression mixes neighbouring labels into others along every border.",
        "Export the masks again, as PNG.",
        "0 and 255, or the classes' colours: each pixel becomes what it is near to, and is ignored where it is near "
        "to none; numbers of classes in grey: left out",
    ),
    "mask-colours": Kind(
        "error",
        "A colour that no class has cannot become a label.",
        "List the colours of the masks in classes.txt as 'name R G B'; few odd pixels along borders come of smoothed "
        "edges: export the masks without.",
        "pixels of other colours are ignored where they are at most a twentieth of the mask, which else is left out",
    ),
    "mask-kind": Kind(
        "error",
        "A mask holds one whole number a pixel: the class, or 255 to ignore it.",
        "Export the masks as 8-bit PNG without transparency.",
        LEFT_OUT,
    ),
    "size": Kind(
        "error",
        "Pixels of the mask would stand for other places of the image.",
        "Export the mask at the size of its image.",
        "enlarged or shrunk to the image's size where it has the same shape, else left out",
    ),
    "orientation": Kind(
        "error",
        "EXIF turns one of the two files and not the other.",
        "Export both upright, without EXIF orientation.",
        "turned as its image is",
    ),
    "label-range": Kind(
        "error",
        "A label that is no class cannot be learnt.",
        "Add the missing classes to classes.txt, or correct the masks; 255 stands for pixels to ignore.",
        "renumbered where all masks are numbered in another way that is clear; else such pixels are ignored where they "
        "are at most a twentieth of the mask, which else is left out",
    ),
    "labels-0-255": Kind(
        "error",
        "255 stands for pixels to ignore, so that only one class is left to learn: every prediction would be that.",
        "Write 1 instead of 255.",
        "255 becomes 1",
    ),
    "no-train": Kind(
        "error",
        "Nothing can be trained on; to measure models on, the data need no train.",
        "Put images and masks into the folder of that split, or train with --train-splits on another.",
    ),
    "nothing-labelled": Kind(
        "error", "Pixels to ignore teach nothing.", "Export the masks with the numbers of the classes, from 0 on."
    ),
    "one-class-only": Kind(
        "error",
        "A model that always says this class would have no loss.",
        "Check how the masks were exported: each class needs its own number.",
    ),
    # what a training can do, but should know
    "labels-0-255-mixed": Kind(
        "warning", "Where 255 stands for class 1 it is ignored.", "Write 1 instead of 255 in these masks."
    ),
    "palette": Kind(
        "warning",
        "The number of a pixel is its label, whatever its colour; a program that stores colours with a palette of its "
        "own numbers them anew.",
        "Export these masks in colours (RGB) or as class numbers; if the numbers are right, correct the colours in "
        "classes.txt.",
    ),
    "orientation-unclear": Kind(
        "warning",
        "Images are turned upright as EXIF says; whether the mask was drawn on the upright image cannot be seen from "
        "its size.",
        "Look at the picture; export both upright, without EXIF orientation.",
        "the image is turned, the mask is kept",
    ),
    "copies-across-splits": Kind(
        "warning",
        "A model is measured on what it has learnt by heart; its score is too good.",
        "Keep all copies in one split; split videos and series by scene.",
        "byte for byte the same file: kept outside of train only",
    ),
    "copies-labelled-differently": Kind("warning", "The same pixels are to be two things.", "Keep the better mask."),
    "class-never": Kind(
        "warning",
        "It cannot be learnt, and its number may hide that others are shifted by one.",
        "Take the class out of classes.txt if the numbers of the others allow, or name the others by --classes.",
    ),
    "class-untrained": Kind(
        "warning", "It is measured but cannot be learnt.", "Move images with it to train, or drop it by --classes."
    ),
    "mask-empty": Kind("warning", "These images teach nothing.", "Take them out, or label them."),
    "mostly-ignored": Kind(
        "warning", "Little is left to learn, and to measure.", "Check that 255 is meant to be ignored in these masks."
    ),
    "mask-smoothed": Kind(
        "warning",
        "Between two classes lie thin lines of those numbered in between, as where a mask was scaled like a photo.",
        "Export the masks without smoothing; scale them by nearest neighbour.",
    ),
    "small-objects": Kind(
        "warning",
        "They are smaller than one cell of the deepest features, and easily missed.",
        "Train with a smaller --output-stride, or enlarge the images by --long-side.",
    ),
    "image-small": Kind(
        "warning",
        "Hardly any cells of the deepest features are left to tell the classes by.",
        "Use larger images, enlarge them by --long-side, or train with a smaller --output-stride.",
    ),
    "image-depths": Kind(
        "warning",
        "The brightest pixel of each file decides between 8, 10, 12, 14 and 16 bits, so that one value is of different "
        "brightness in different images.",
        "Save all as 8-bit images by one scale, as 12-bit values divided by 16; what is to be segmented later, too.",
    ),
    "image-blank": Kind("warning", "There is nothing to see in them.", "Check how they were exported."),
    # good to know
    "no-split": Kind(
        "note",
        "A training chooses its best epoch on val; without it the last one counts as the best.",
        "Put images and masks into the folder of that split.",
    ),
    "class-unmeasured": Kind(
        "note", "Whether it is learnt is not seen.", "Move some images with it from train to val."
    ),
    "imbalance": Kind(
        "note",
        "Rare classes are learnt last, and an image that has none of them scores well without.",
        "Watch the IoU of each class, not the pixel accuracy; --rare-crops 0.33 shows the rare ones more often.",
    ),
    "copies": Kind("note", "They count several times.", "Keep one of each."),
    "mask-plain": Kind("note", "They show the network no border.", "That is right for images that show nothing else."),
    "mask-in-colours": Kind(
        "note",
        "Each pixel's class is looked up by its colour in classes.txt.",
        "Nothing has to be done; class numbers are smaller and read faster.",
        "written as class numbers",
    ),
    "borders": Kind(
        "note",
        "Labels are least exact at borders, and so are the predictions of a network of this stride.",
        "Train with a smaller --output-stride; do not expect an IoU near 1.",
    ),
    "image-large": Kind(
        "note",
        "A training shrinks them.",
        "If small things get lost, cut the images, or train with a larger --long-side.",
    ),
    "image-grey": Kind(
        "note", "Grey images get three equal bands; the model has to learn both kinds.", "Nothing has to be done."
    ),
    "image-alpha": Kind(
        "note",
        "What is transparent is laid on white.",
        "Save them without alpha if the colours under it are meant.",
    ),
    "image-several": Kind(
        "note",
        "Only the first page or frame of a file is used.",
        "Save the others as files of their own, each with its mask.",
    ),
    "image-deep": Kind(
        "note",
        "Each is scaled to 8 bits by the smallest bit depth that holds its brightest pixel.",
        "If dark images have to stay dark, convert all by the same scale.",
    ),
}
"""By name, in the order in which they are told."""
