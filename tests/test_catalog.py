from __future__ import annotations

import subprocess
import sys

import pytest

from deeplab.catalog import entries, families, module_of
from deeplab.errors import UnknownNameError


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
