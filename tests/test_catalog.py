from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

from deeplab.catalog import builder, check_options, entries, families, module_of
from deeplab.errors import SettingsError, UnknownNameError


def test_every_public_file_is_an_entry():
    assert {"resnet18", "resnet34", "resnet50", "resnet101", "mobilenetv2"} <= set(entries("backbones"))
    assert {"deeplabv3", "deeplabv3plus"} <= set(entries("models"))


def test_listing_imports_no_torch():
    code = "import sys, deeplab.catalog as c; c.entries('models'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_family_is_no_entry_and_its_members_are_looked_up_in_it():
    assert families("backbones") == {"timm/NAME": "deeplab.backbones.timm"}
    assert not any(name.startswith("timm") or name == "member" for name in entries("backbones"))
    assert module_of("backbones", "timm/anything") == "deeplab.backbones.timm"


@pytest.mark.parametrize("name", ["timm", "timm/"])
def test_a_misspelt_family_names_the_way_to_write_it(name):
    with pytest.raises(UnknownNameError, match="did you mean timm/NAME"):
        module_of("backbones", name)


ENTRIES = [(package, name) for package in ("models", "backbones") for name in entries(package)]


@pytest.mark.parametrize(("package", "name"), ENTRIES)
def test_every_default_is_of_its_own_type_and_a_stranger_of_none(package, name):
    build = builder(package, name)
    parameters = {
        name: each for name, each in inspect.signature(build).parameters.items() if each.default is not each.empty
    }
    check_options(build, {name: each.default for name, each in parameters.items()})
    for option in parameters:
        with pytest.raises(SettingsError, match=f"^{option} wants .*, got <object"):
            check_options(build, {option: object()})


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("decoder_merge", "add", "concat or sum"),
        ("squeeze_excite", True, "none or sigmoid or hard_sigmoid"),
        ("atrous_rates", 6, "whole numbers, as a list"),
        ("dropout", float("nan"), "a number"),
        ("head_conv", 1, "true or false, without quotes"),
        ("decoder_convs", 1.5, "a whole number"),
    ],
)
def test_a_value_of_another_type_is_told_with_what_is_wanted(option, value, wanted):
    with pytest.raises(SettingsError, match=re.escape(f"{option} wants {wanted}, got {value!r}")):
        check_options(builder("models", "deeplabv3plus"), {option: value})
