"""`deeplab models`"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deeplab import catalog
from deeplab._words import number_of
from deeplab.cli._options import Debug, Json
from deeplab.cli._terminal import print_json, print_table
from deeplab.training.recipes import RECIPES

if TYPE_CHECKING:
    from deeplab.weights import Published

Weights = Annotated[
    bool, typer.Option("--weights", help="List every checkpoint that others published; --model takes its name.")
]

Recipes = Annotated[bool, typer.Option("--recipes", help="List the recipes that 'deeplab train --recipe' takes.")]


def models(*, weights: Weights = False, recipes: Recipes = False, json: Json = False, debug: Debug = False) -> None:
    """List model variants, backbones and trained weights."""
    if weights:
        _list_published(json=json)
        return
    if recipes:
        _list_recipes(json=json)
        return
    found = {
        "models": _described("models", catalog.entries("models")),
        "backbones": _described("backbones", catalog.entries("backbones")),
        "families": _described("backbones", catalog.families("backbones")),
        "weights": _weights(),
    }
    shown = {**found, "weights": _in_short(found["weights"])}
    rows = [(kind, name, text) for kind, entries in shown.items() for name, text in entries.items()]
    print_table(("", "Name", "What it is"), rows)
    if json:
        print_json(found)


def _described(package: str, entries: Mapping[str, str]) -> dict[str, str]:
    """Entry name -> the first paragraph of its file, or its own where a file has several; read without importing."""
    folder = Path(catalog.__file__).parent / package
    described = {}
    for name, module in entries.items():
        source = ast.parse((folder / f"{module.rpartition('.')[2]}.py").read_text(encoding="utf-8"))
        several = list(entries.values()).count(module) > 1
        text = _text_under(name, source) if several else ast.get_docstring(source)
        described[name] = " ".join((text or "").partition("\n\n")[0].split())
    return described


def _text_under(name: str, source: ast.Module) -> str | None:
    """The docstring of the function `name`, or the string that follows the line which assigns it."""
    for statement, following in pairwise([*source.body, ast.Pass()]):
        match statement, following:
            case ast.FunctionDef(), _ if statement.name == name:
                return ast.get_docstring(statement)
            case ast.Assign(targets=[ast.Name(id=found)]), ast.Expr(ast.Constant(str() as text)) if found == name:
                return text
    return None


def _list_published(*, json: bool) -> None:
    from deeplab.weights import cached, published

    here = {name: cached(entry).is_file() for name, entry in published().items()}
    rows = [
        (
            name,
            entry.network,
            entry.data,
            str(entry.num_classes),
            f"{entry.miou:.2f} {entry.measured}" if entry.miou else "-",
            f"{entry.megabytes:.0f} MB" if entry.megabytes else "-",
            entry.licence,
            "yes" if here[name] else "no",
        )
        for name, entry in published().items()
    ]
    columns = ("Name", "Network", "Trained on", "Classes", "mIoU in percent", "Size", "Licence", "Here")
    print_table(columns, rows, figures=("Classes", "Size"))
    if json:
        print_json({"weights": {name: {**asdict(entry), "here": here[name]} for name, entry in published().items()}})


def _list_recipes(*, json: bool) -> None:
    rows = [(name, recipe.text, recipe.differs) for name, recipe in RECIPES.items()]
    print_table(("Name", "What it trains", "What is not as there"), rows)
    if json:
        print_json({"recipes": {name: asdict(recipe) for name, recipe in RECIPES.items()}})


def _weights() -> dict[str, str]:
    from deeplab import checkpoints, weights

    described = {}
    for name, path in weights.shipped().items():
        checkpoint = checkpoints.load(path)
        network = f"{checkpoint.model.entry} on {checkpoint.model.arguments['backbone']}"
        classes = f"{number_of(len(checkpoint.classes), 'class', 'classes')}: {', '.join(checkpoint.classes)}"
        described[name] = f"{network}, {path.stat().st_size / 1e6:.1f} MB, {classes}"
    for name, entry in weights.published().items():
        described[name] = f"{entry.network}, {entry.num_classes} classes, {_way_here(entry)}"
    return described


def _in_short(described: Mapping[str, str]) -> dict[str, str]:
    """The models that ship, then one line for those of each publisher."""
    from deeplab import weights

    publishers: dict[str, list[Published]] = {}
    for name, entry in weights.published().items():
        publishers.setdefault(name.partition("/")[0], []).append(entry)
    lines = {}
    for publisher, entries in publishers.items():
        ways = " or ".join(sorted({_way_here(entry) for entry in entries}))
        lines[f"{publisher}/..."] = f"{number_of(len(entries), 'model')}, {ways}; listed by --weights"
    return {**{name: text for name, text in described.items() if name in weights.shipped()}, **lines}


def _way_here(entry: Published) -> str:
    return "downloaded once" if entry.url else "to be downloaded by hand"
