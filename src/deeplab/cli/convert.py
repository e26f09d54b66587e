"""`deeplab convert CHECKPOINT`"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table
from deeplab.settings import ConvertSettings

if TYPE_CHECKING:
    from deeplab.weights import Conversion

LAST = re.compile(r"(/BatchNorm)?[./ ][^./ ]+$")
"""What a tensor's name has behind its layer's: PyTorch's "conv1.weight", TensorFlow's "Conv/BatchNorm/gamma"."""


def convert(settings: ConvertSettings, *, json: Json = False) -> None:
    """Turn another system's checkpoint into ours; no tensor is left silently."""
    figures: dict[str, Any] = {}

    def report(conversion: Conversion) -> None:
        figures.update(_figures(conversion))
        print_table(("There", "Here", "Tensors"), _rows(conversion.placed), figures=("Tensors",))
        for names, count in left_behind(conversion):
            print(f"left, only training uses it: {names} ({_tensors(count)})")

    output = api.convert(**settings.as_dict(), on_converted=report)
    figures["output"] = str(output)
    print(
        f"{output}: from {figures['source']}, {figures['model']} on {figures['backbone']}, "
        f"{len(figures['classes'])} classes, {figures['parameters']:,} parameters; "
        f"next: deeplab segment photo.jpg --model {output}"
    )
    if json:
        print_json(figures)


def _figures(conversion: Conversion) -> dict[str, Any]:
    model = conversion.checkpoint.model
    return {
        "source": conversion.checkpoint.training["source"],
        "model": model.entry,
        "backbone": model.arguments["backbone"],
        "classes": list(conversion.checkpoint.classes),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tensors": dict(conversion.placed),
        "left": list(conversion.left),
    }


def _rows(placed: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The part of the network there, the one here that it became, and of how many tensors they are."""
    groups: dict[tuple[str, str], list[str]] = {}
    for theirs, ours in placed.items():
        groups.setdefault(_parts(theirs, ours), []).append(ours)
    for (theirs, _), names in groups.items():
        yield theirs, _shared(map(_layer, names)).rstrip("."), _tensors(len(names))


def _parts(theirs: str, ours: str) -> tuple[str, str]:
    """The parts of the two networks that a tensor, or layer, is counted to: the first words of its names."""
    there = re.match(r"[^./]+([./][^./]+)?", _layer(theirs))
    here = re.match(r"backbone\.[^.]+|[^.]+", ours)
    return there[0] if there else theirs, here[0] if here else ours


def left_behind(conversion: Conversion) -> Iterator[tuple[str, int]]:
    """The tensors left behind, by what their names have in common, and their number."""

    def kind(name: str) -> str:
        tensor, _, slot = name.rpartition("/")  # as an optimizer's "Conv/weights/Momentum"
        return f"*/{slot}" if tensor in conversion.placed else re.split(r"[./]", name)[0]

    for found, group in groupby(sorted(conversion.left, key=kind), key=kind):
        names = list(group)
        yield found if found.startswith("*") or len(names) == 1 else f"{_shared(names)}*", len(names)


def _layer(tensor: str) -> str:
    return LAST.sub("", tensor)


def _shared(names: Iterable[str]) -> str:
    """The words that all names begin with."""
    words = zip(*(re.split(r"([./])", name) for name in names), strict=False)  # as far as the shortest
    return "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"
