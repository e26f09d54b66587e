"""The public face: the names that are promised, and that asking for help loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import deeplab

HEAVY = ("torch", "numpy", "PIL", "numba", "safetensors", "yaml", "lightning", "torchvision", "timm", "rich")

COMMANDS = "segment train evaluate compare explain tune-crf doctor convert export models benchmark"


def heavy_modules_after(code: str) -> list[str]:
    code = f"import sys\n{code}\nprint('HEAVY', *(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.rpartition("HEAVY")[2].split()


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert heavy_modules_after("import deeplab; dir(deeplab)") == []


@pytest.mark.parametrize("command", ["", *COMMANDS.split()])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"from deeplab.__main__ import main; assert main({[*command.split(), '--help']}) == 0"
    assert heavy_modules_after(code) == []


def test_a_wrong_flag_is_told_before_torch_is_imported() -> None:
    code = "from deeplab.__main__ import main; assert main(['segment', 'x.jpg', '--scales', 'big']) == 2"
    assert heavy_modules_after(code) == []


def test_listing_names_imports_nothing_heavy() -> None:
    code = "import deeplab; deeplab.list_models(), deeplab.list_backbones(), deeplab.list_weights()"
    assert heavy_modules_after(code) == []


def test_listing_published_weights_imports_nothing_heavy() -> None:
    code = "from deeplab.__main__ import main; assert main(['models', '--weights', '--json']) == 0"
    assert heavy_modules_after(code) == []


def test_the_public_names_are_those_of_the_package_docstring() -> None:
    assert deeplab.__doc__ is not None
    assert sorted(re.findall(r"^- `(\w+)`:", deeplab.__doc__, flags=re.MULTILINE)) == deeplab.__all__


def test_the_public_names_are_those_that_were_promised(shared: Path) -> None:
    promised = set(re.findall(r"\bdeeplab\.(\w+)\(", (shared / "docs" / "face.md").read_text(encoding="utf-8")))
    assert promised - set(deeplab.__all__) == set()


@pytest.mark.parametrize("name", deeplab.__all__)
def test_every_public_name_is_there_and_explains_itself(name: str) -> None:
    assert getattr(deeplab, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segmant'"):
        _ = deeplab.segmant


def test_the_version_is_that_of_the_installed_package() -> None:
    assert deeplab.__version__ == version("deeplab")
