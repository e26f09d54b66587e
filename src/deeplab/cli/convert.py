"""`deeplab convert CHECKPOINT`"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

from deeplab import api
from deeplab._words import number_of
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json, print_table
from deeplab.settings import ConvertSettings

if TYPE_CHECKING:
    from deeplab.weights import Agreement, Conversion, LayerDifference


def convert(settings: ConvertSettings, *, json: Json = False) -> None:
    """Turn another system's checkpoint into ours. No tensor is left out silently."""
    figures: dict[str, Any] = {}

    def report(conversion: Conversion, comparison: Agreement | None) -> None:
        figures.update(_figures(conversion, comparison))
        columns = ("There", "Here", "Tensors", "Largest difference")
        layers = comparison.layers if comparison else ()
        print_table(columns if layers else columns[:3], rows(in_order(conversion), layers), figures=columns[2:])
        for names, count in left_behind(conversion):
            print(f"left, only training uses it: {names} ({number_of(count, 'tensor')})")
        if conversion.assumed:
            print(assumptions(conversion.assumed))
        print(_conclusion(comparison, settings, source=figures["source"]))

    output = api.convert(**settings.as_dict(), on_converted=report)
    figures["output"] = str(output)
    print(
        f"{output}: from {figures['source']}, {figures['model']} on {figures['backbone']}, "
        f"{number_of(len(figures['classes']), 'class', 'classes')}, {figures['parameters']:,} parameters; "
        f"next: deeplab segment photo.jpg --model {output}"
    )
    if json:
        print_json(figures)


def _figures(conversion: Conversion, comparison: Agreement | None) -> dict[str, Any]:
    model = conversion.checkpoint.model
    return {
        "source": conversion.checkpoint.training["source"],
        "model": model.entry,
        "backbone": model.arguments["backbone"],
        "classes": list(conversion.checkpoint.classes),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tensors": dict(conversion.placed),
        "left": list(conversion.left),
        "assumed": dict(conversion.assumed),
        "comparison": comparison
        and {
            "logits": comparison.logits,
            "equal_labels": comparison.equal_labels,
            "layers": {layer.theirs: layer.difference for layer in comparison.layers},
        },
    }


def assumptions(assumed: Mapping[str, Any]) -> str:
    """In words; `classes` are known by their number, all else is of the system's own published models."""
    words = []
    for name, value in assumed.items():
        if name == "classes":
            words.append(
                f"the class names of {value}" if value != "one logit" else "background and object for one logit"
            )
        else:
            numbers = value if isinstance(value, list | tuple) else (value,)
            words.append(f"{name.replace('_', ' ')} {', '.join(map(str, numbers))}")
    return f"assumed, for the file does not tell: {'; '.join(words)}"


def _conclusion(comparison: Agreement | None, settings: ConvertSettings, *, source: str) -> str:
    if comparison is None:
        return f"not compared: {source} has no such network that runs here; --golden FILE compares with outputs of it"
    return (
        f"compared with {settings.golden or source}: the logits differ by at most {comparison.logits:.1e} of their "
        f"standard deviation, {'within' if comparison.holds else 'above'} {comparison.limit:.0e}; "
        f"{comparison.equal_labels:.2%} of the labels are equal"
        + ("; that is before the weights are stored in half precision" if settings.half else "")
    )


def in_order(conversion: Conversion) -> dict[str, str]:
    """Name there -> name here, in the order of our model: a file may have them sorted, 10 before 2."""
    places = {name: place for place, name in enumerate(conversion.checkpoint.model.state_dict())}
    return dict(sorted(conversion.placed.items(), key=lambda item: places.get(item[1], len(places))))


def rows(placed: Mapping[str, str], layers: Iterable[LayerDifference]) -> Iterator[Sequence[str]]:
    """The part of the network there, the one here that it became, of how many tensors they are, and how far apart."""
    tensors: dict[tuple[str, str], list[str]] = {}
    for theirs, ours in placed.items():
        tensors.setdefault(_parts(_layer(theirs), ours), []).append(_layer(ours))
    differences: dict[tuple[str, str], list[float]] = {}
    for layer in layers:
        differences.setdefault(_parts(layer.theirs, layer.ours), []).append(layer.difference)
    for part, names in tensors.items():
        row = part[0], _shared(names).rstrip("."), number_of(len(names), "tensor")
        largest = f"{max(differences[part]):.1e}" if part in differences else "-"
        yield (*row, largest) if differences else row
    for (theirs, ours), found in differences.items():
        if (theirs, ours) not in tensors:  # a layer that spans several of the parts
            yield theirs, ours, "", f"{max(found):.1e}"


def _parts(theirs: str, ours: str) -> tuple[str, str]:
    """The parts of the two networks that a layer is counted to: the first words of its names."""
    there = re.match(r"[^./]+([./](?!BatchNorm$)[^./]+)?", theirs)
    here = re.match(r"backbone\.[^.]+|[^.]+", ours)
    return there[0] if there else theirs, here[0] if here else ours


def left_behind(conversion: Conversion) -> Iterator[tuple[str, int]]:
    """The tensors left behind, by what their names have in common, and their number."""

    def kind(name: str) -> str:
        tensor, _, slot = name.rpartition("/")  # as an optimizer's "Conv/weights/Momentum"
        if tensor in conversion.placed:
            return f"*/{slot}"
        return "ema_*" if name.startswith("ema_") else re.split(r"[./]", name)[0]

    for found, group in groupby(sorted(conversion.left, key=kind), key=kind):
        names = list(group)
        yield found if "*" in found or len(names) == 1 else f"{_shared(names)}*", len(names)


def _layer(tensor: str) -> str:
    """PyTorch's "conv1" of "conv1.weight", TensorFlow's "Conv" of "Conv/BatchNorm/gamma"."""
    return re.sub(r"(/BatchNorm)?[./ ][^./ ]+$", "", tensor)


def _shared(names: Iterable[str]) -> str:
    """The words that all names begin with."""
    words = zip(*(re.split(r"([./])", name) for name in names), strict=False)  # as far as the shortest
    return "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))
