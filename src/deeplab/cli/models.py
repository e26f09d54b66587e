"""`deeplab models`"""

from __future__ import annotations

import ast
from pathlib import Path

from deeplab import catalog
from deeplab.cli._options import Debug, Json
from deeplab.cli._terminal import print_json, print_table


def models(*, json: Json = False, debug: Debug = False) -> None:
    """List model variants, backbones and trained weights."""
    found = {"models": _described("models"), "backbones": _described("backbones"), "weights": _weights()}
    rows = [(kind, name, text) for kind, entries in found.items() for name, text in entries.items()]
    print_table(("", "Name", "What it is"), rows)
    if json:
        print_json(found)


def _described(package: str) -> dict[str, str]:
    """Entry name -> the first paragraph of its file, or its own where a file has several; read without importing."""
    folder = Path(catalog.__file__).parent / package
    entries = catalog.entries(package)
    described = {}
    for name, module in entries.items():
        source: ast.Module | ast.FunctionDef
        source = ast.parse((folder / f"{module.rpartition('.')[2]}.py").read_text(encoding="utf-8"))
        if list(entries.values()).count(module) > 1:
            source = next(node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == name)
        paragraph = (ast.get_docstring(source) or "").partition("\n\n")[0]
        described[name] = " ".join(paragraph.split())
    return described


def _weights() -> dict[str, str]:
    from deeplab import checkpoints, weights

    described = {}
    for name, path in weights.shipped().items():
        checkpoint = checkpoints.load(path)
        network = f"{checkpoint.model.entry} on {checkpoint.model.arguments['backbone']}"
        classes = f"{len(checkpoint.classes)} classes: {', '.join(checkpoint.classes)}"
        described[name] = f"{network}, {path.stat().st_size / 1e6:.1f} MB, {classes}"
    return described
