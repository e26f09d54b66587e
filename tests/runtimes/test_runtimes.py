"""What is the same for every format."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from deeplab import catalog, runtimes
from deeplab.errors import MissingExtraError, SettingsError
from deeplab.settings import EXPORT_SUFFIXES

ENGINES = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
"""The packages that open the formats; the others need nothing but torch."""


def test_every_file_is_a_format_and_has_its_ending():
    files = catalog.offering("runtimes", "save")
    assert files == catalog.offering("runtimes", "load")
    assert files == sorted(name.replace("-", "_") for name in EXPORT_SUFFIXES)


@pytest.mark.parametrize("format", ENGINES)
def test_a_missing_engine_is_told_with_the_line_to_run(tmp_path, monkeypatch, format):
    path = tmp_path / f"x{EXPORT_SUFFIXES[format]}"
    path.write_bytes(b"anything")
    engine = ENGINES[format]

    def find_spec(name, *_):
        if name == engine:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == engine]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    with pytest.raises(MissingExtraError) as told:
        runtimes.load(path)
    assert str(told.value) == f"{engine} is not installed; run: pip install 'deeplab[{format}]'"


@pytest.mark.parametrize("format", sorted(EXPORT_SUFFIXES.keys() - {"onnx"}))
def test_another_device_is_told(tmp_path, format):
    path = tmp_path / f"x{EXPORT_SUFFIXES[format]}"
    path.write_bytes(b"anything")
    with pytest.raises(SettingsError, match=f"device: {format} files run on cpu here, got 'cuda'; leave it out"):
        runtimes.load(path, device="cuda")
