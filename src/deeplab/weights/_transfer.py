"""Start a new model from the weights of another: what fits is copied, and what did not is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from deeplab._words import number_of
from deeplab.checkpoints import Checkpoint
from deeplab.data import group_classes, in_words
from deeplab.data.label_sets import common_name
from deeplab.models import SegmentationModel, create_model

__all__ = ["Transfer", "known_classes", "reclass", "transfer"]

BACKBONE = ("backbone.", "prepare.")
"""How the names of its tensors begin, and of the normalisation of its input."""

CRF_RNN = "crf_rnn."
"""How the names of tensors begin that have a row and a column for each class."""


@dataclass(frozen=True)
class Transfer:
    """What `transfer` did, by tensor name."""

    copied: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    """The classes whose row of the last layer was copied, each with the source's classes that it is the mean of."""
    left: tuple[str, ...]
    """Tensors of the new model before its last layer that keep their random start."""
    head: bool = True
    """Whether it was asked for."""

    def sentences(self, classes: Sequence[str]) -> list[str]:
        """What was done in plain words, for a model of these `classes`."""
        own = self.left
        fresh = [name for name in classes if name not in self.rows]
        if not self.head:
            return [f"copied the {len(self.copied)} tensors of the backbone; the head is new"]
        return [
            f"copied {len(self.copied)} of {len(self.copied) + len(own)} tensors before the last layer"
            + (f"; at random start {_by_part(own)}" if own else ""),
            f"copied the last layer's rows of {len(self.rows)} of {len(classes)} classes"
            + (f": {in_words(self.rows)}" if self.rows else "")
            + (f"; at random start {', '.join(fresh)}" if fresh else ""),
        ]


@torch.no_grad()
def transfer(
    model: SegmentationModel,
    source: Checkpoint,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    head: bool = True,
) -> Transfer:
    """Copy into `model` every tensor of `source` with its name and shape; of the last layer, classes by name.

    The backbone is copied if it is the same one, and with it the normalisation that its weights were trained with.
    The row of a class is the mean of the rows of those classes that it is made of, as far as the source has them;
    where it has none of them, the row of the class of the same name. A class may be called as in another data set,
    `deeplab.data.label_sets.common_name`. The matrices of a CRF-RNN are copied in the same way, rows and columns.

    Args:
        classes: The classes of `model` in order, each with those that it is made of (itself, if nothing changed).
        head: False copies the backbone alone.
    """
    given = source.model.state_dict()
    if not head:
        given = {name: tensor for name, tensor in given.items() if name.startswith(BACKBONE)}
    if model.arguments["backbone"] != source.model.arguments["backbone"]:
        given = {name: tensor for name, tensor in given.items() if not name.startswith(BACKBONE)}
    copied, left = [], []
    for name, tensor in model.state_dict().items():
        if name.startswith((model.last_layer, CRF_RNN)):
            continue
        if name in given and given[name].shape == tensor.shape:
            tensor.copy_(given[name])
            copied.append(name)
        else:
            left.append(name)
    if "prepare.mean" in copied:
        keys = ("image_mean", "image_std")
        model.arguments = {**model.arguments, **{key: source.model.arguments[key] for key in keys}}
    rows = _copy_rows(model, source, classes or {}) if head else {}
    return Transfer(tuple(copied), rows, tuple(left), head)


def reclass(source: Checkpoint, classes: Sequence[str] | Mapping[str, str | Sequence[str]]) -> Checkpoint:
    """The same model for other classes made of its own, as `deeplab.data.group_classes` reads them.

    Classes that are kept, renamed or moved have the logits that they had, and those that are dropped give way to the
    likeliest of the others. Merged classes have the mean of the logits, where the sum of their probabilities would be
    right; no linear layer can give that, so that a model with merged classes is one to train further.

    Raises:
        SettingsError: As `group_classes`.
    """
    groups = group_classes(classes, source.classes)
    arguments = {**source.model.arguments, "num_classes": len(groups)}
    model = create_model(source.model.entry, **arguments).train(source.model.training)
    transfer(model, source, classes=groups)
    colors = [source.classes.index(name if name in olds else olds[0]) for name, olds in groups.items()]
    return Checkpoint(model, tuple(groups), source.palette[colors], source.preprocessing, source.training)


def _copy_rows(
    model: SegmentationModel, source: Checkpoint, classes: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    new, old = _last_layer(model), _last_layer(source.model)
    if {key: rows.shape[1:] for key, rows in new.items()} != {key: rows.shape[1:] for key, rows in old.items()}:
        return {}
    names = tuple(classes)
    found = {names.index(name): rows for name, rows in known_classes(classes, source.classes).items()}
    for row, rows in found.items():
        for key in new:
            new[key][row] = old[key][rows].mean(dim=0)
    _copy_pairs(model, source.model, found)
    return {names[row]: tuple(source.classes[old_row] for old_row in rows) for row, rows in found.items()}


def _copy_pairs(model: SegmentationModel, source: SegmentationModel, found: Mapping[int, list[int]]) -> None:
    """Copy the CRF-RNN's entries for each two classes, from those of `source` by the rows that each was `found` in."""
    if model.crf_rnn is None or source.crf_rnn is None:
        return
    for new, old in zip(model.crf_rnn.parameters(), source.crf_rnn.parameters(), strict=True):
        for (row, rows), (column, columns) in product(found.items(), repeat=2):
            new[..., row, column] = old[..., rows, :][..., columns].mean(dim=(-2, -1))


def known_classes(groups: Mapping[str, Sequence[str]], classes: Sequence[str]) -> dict[str, list[int]]:
    """Which of the new classes, each with those that it is made of, can be had from `classes`, and from which."""
    found = {name: _rows_of(parts, classes) or _rows_of((name,), classes) for name, parts in groups.items()}
    return {name: rows for name, rows in found.items() if rows}


def _rows_of(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where in `classes` the names are: the same, else in other capitals, else what means the same."""
    rows = (_row_of(name, classes) for name in names)
    return list(dict.fromkeys(row for row in rows if row is not None))


def _row_of(name: str, classes: Sequence[str]) -> int | None:
    for same in (str, str.lower, common_name):
        known = [same(each) for each in classes]
        if same(name) in known:
            return known.index(same(name))
    return None


def _last_layer(model: SegmentationModel) -> dict[str, Tensor]:
    """Every tensor with a row for each class; DeepLab v2 has several layers of them."""
    return {key: tensor for key, tensor in model.state_dict().items() if key.startswith(model.last_layer)}


def _by_part(names: Iterable[str]) -> str:
    """Tensor names in few words: "aspp (30 tensors), decode (12 tensors)"."""
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{part} ({number_of(count, 'tensor')})" for part, count in counts.items())
