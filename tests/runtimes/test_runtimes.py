"""What is the same for every format."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from deeplab import catalog, runtimes
from deeplab.errors import InputNotFoundError, MissingExtraError, SettingsError
from deeplab.runtimes._exported import Description, EngineNetwork
from deeplab.settings import EXPORT_SUFFIXES

ENGINES = {"coreml": "coremltools", "litert": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
"""The packages that open the formats; the others need nothing but torch."""


def test_every_file_is_a_format_and_has_its_ending():
    files = catalog.offering("runtimes", "save")
    assert files == catalog.offering("runtimes", "load")
    assert files == sorted(name.replace("-", "_") for name in EXPORT_SUFFIXES)


@pytest.mark.parametrize("format", ENGINES)
def test_a_missing_engine_is_told_with_the_line_to_run(tmp_path, monkeypatch, format):
    path = something(tmp_path, format)
    engine = ENGINES[format]
    monkeypatch.setattr("deeplab.runtimes.coreml.sys", SimpleNamespace(platform="darwin"))

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
    path = something(tmp_path, format)
    with pytest.raises(SettingsError, match=f"device: {format} files run on cpu here, got 'cuda'; leave it out"):
        runtimes.load(path, device="cuda")


@pytest.mark.parametrize("format", EXPORT_SUFFIXES)
def test_a_file_in_the_place_of_a_folder_and_the_other_way_round_are_told(tmp_path, format):
    path = tmp_path / f"x{EXPORT_SUFFIXES[format]}"
    if format == "coreml":
        path.write_bytes(b"anything")
    else:
        path.mkdir()
    with pytest.raises(InputNotFoundError, match="no exported file"):
        runtimes.load(path)


def test_core_ml_is_for_macos_only(tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab.runtimes.coreml.sys", SimpleNamespace(platform="linux"))
    with pytest.raises(SettingsError, match=r"x\.mlpackage: Core ML runs on macOS only; export the model as onnx"):
        runtimes.load(something(tmp_path, "coreml"))


def something(folder, format):
    """What lies where an exported file should."""
    path = folder / f"x{EXPORT_SUFFIXES[format]}"
    if format == "coreml":
        path.mkdir()
    else:
        path.write_bytes(b"anything")
    return path


@pytest.mark.parametrize(
    ("network", "weights"),
    [("x.onnx", "x.onnx"), ("x.xml", "x.bin"), ("x.mlpackage", "x.mlpackage/Data/weights.bin")],
)
def test_other_weights_make_another_fingerprint(tmp_path, network, weights):
    description = Description("small", ("a",), ((0, 0, 0),), None, True, 1, fixed_size=None, padding=(0, 0, 0))
    found = set()
    (tmp_path / weights).parent.mkdir(parents=True, exist_ok=True)
    for content in (b"one", b"two"):
        (tmp_path / weights).write_bytes(content)
        found.add(EngineNetwork(None, description, engine="any", path=tmp_path / network).fingerprint())
    assert len(found) == 2
