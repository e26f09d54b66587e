from __future__ import annotations

import subprocess
import sys

from deeplab.catalog import entries


def test_every_public_file_is_an_entry():
    assert {"resnet18", "resnet34", "resnet50", "resnet101", "mobilenetv2"} <= set(entries("backbones"))
    assert {"deeplabv3", "deeplabv3plus"} <= set(entries("models"))


def test_listing_imports_no_torch():
    code = "import sys, deeplab.catalog as c; c.entries('models'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
