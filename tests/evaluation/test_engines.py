"""Models made ready for an engine: exported and proven once, then found without torch."""

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import deeplab
from deeplab import checkpoints, evaluation, runtimes
from deeplab._progress import no_progress
from deeplab.checkpoints import Checkpoint
from deeplab.errors import CheckpointError, InputNotFoundError, MissingExtraError, OutputError, SettingsError
from deeplab.evaluation import Parity, engines
from deeplab.files import alone_in
from deeplab.images import color_map
from deeplab.inference.torch_network import TorchNetwork
from deeplab.models import create_model
from deeplab.runtimes import _ready


@pytest.fixture(scope="module")
def model(few_layers, tmp_path_factory):
    """The path of a small model."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    torch.manual_seed(0)
    network = create_model("deeplabv3", backbone="resnet18", num_classes=3, aspp_channels=8, atrous_rates=())
    checkpoints.save(path, Checkpoint(network.eval(), ("sky", "road", "tree"), color_map(3)))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path))
    monkeypatch.setattr("deeplab.api.may_have_gpu", lambda: False)
    return tmp_path


@pytest.fixture
def exported(monkeypatch):
    """Exports that only leave a file, by how long each engine takes over torch; None: it fails. What was exported."""
    times = {"onnx": 0.5, "openvino": 0.25}
    made = []

    def export(model, ready, engine, progress):
        made.append(engine)
        if times[engine] is None:
            raise CheckpointError("other labels")
        ready.folder.mkdir(parents=True, exist_ok=True)
        ready.file(engine).write_bytes(b"exported")
        return Parity(1, 0.0, 0.0, 1.0, None, (10.0, 10 * times[engine]), 0.999)

    monkeypatch.setattr(engines, "_export", export)
    monkeypatch.setattr("deeplab.evaluation.engines.installed_engines", lambda: list(times))
    monkeypatch.setattr("deeplab.runtimes._ready.installed_engines", lambda: list(times))
    return times, made


def test_a_model_is_exported_once_and_gives_the_same(model, make_image, monkeypatch):
    pytest.importorskip("onnxscript", reason="the exporter is not installed")
    image = make_image(40, 56)
    segmenter = deeplab.load(model, engine="onnx")
    assert not isinstance(segmenter.network, TorchNetwork)
    assert (segmenter(image).labels == deeplab.load(model)(image).labels).mean() > 0.999

    def never(*args, **options):
        raise AssertionError("exported again")

    monkeypatch.setattr(evaluation, "export_checkpoint", never)
    monkeypatch.setattr(engines, "export_checkpoint", never)
    np.testing.assert_array_equal(deeplab.load(model, engine="onnx")(image).labels, segmenter(image).labels)
    code = (
        "import sys, deeplab; from deeplab import api; api.may_have_gpu = lambda: False\n"
        f"deeplab.load({str(model)!r}, engine='onnx'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_file_that_was_damaged_in_the_cache_is_made_anew(model, make_image, monkeypatch):
    pytest.importorskip("onnxscript", reason="the exporter is not installed")
    made = []

    def make(path, engine, *, progress):
        ready = runtimes.Ready(path)
        ready.folder.mkdir(parents=True)
        ready.file(engine).write_bytes(b"damaged")
        made.append(engine)

    monkeypatch.setattr(evaluation, "make_ready", make)
    with pytest.raises(CheckpointError, match="cannot be opened; is the disk full"):
        deeplab.load(model, engine="onnx")
    assert made == ["onnx", "onnx"]


def test_auto_takes_the_fastest_and_notes_it(model, exported):
    times, made = exported
    engines.make_ready(model, "auto")
    ready = runtimes.Ready(model)
    assert made == ["onnx", "openvino"]
    assert ready.chosen() == "openvino"
    assert ready.find("auto") == ready.file("openvino")
    assert json.loads(ready.choice.read_text())["time_over_torch"] == {"torch": 1.0, "onnx": 0.5, "openvino": 0.25}
    del times["openvino"]  # no longer installed: it is chosen anew
    assert not runtimes.Ready(model).knows("auto")


@pytest.mark.parametrize(
    "onnx, openvino, chosen", [(2.0, 1.5, "torch"), (None, 0.5, "openvino"), (None, None, "torch")]
)
def test_what_is_slower_than_torch_or_fails_is_not_taken(model, exported, onnx, openvino, chosen):
    times, _ = exported
    times.update(onnx=onnx, openvino=openvino)
    engines.make_ready(model, "auto")
    assert runtimes.Ready(model).chosen() == chosen
    assert (runtimes.Ready(model).find("auto") is None) == (chosen == "torch")


def test_an_engine_that_ends_in_an_error_of_its_own_is_left_out_with_a_warning(model, exported, monkeypatch, caplog):
    working = engines._export

    def export(model, ready, engine, progress):
        if engine == "openvino":
            raise RuntimeError("Shape mismatch\n  in node 3")
        return working(model, ready, engine, progress)

    monkeypatch.setattr(engines, "_export", export)
    engines.make_ready(model, "auto")
    assert runtimes.Ready(model).chosen() == "onnx"
    assert caplog.messages == ["openvino is left out, it ends in RuntimeError: Shape mismatch in node 3"]


def test_a_disk_that_is_full_is_told_and_chooses_nothing(model, exported, monkeypatch):
    def full(*_):
        raise OutputError("model.onnx: cannot be written (No space left on device)")

    monkeypatch.setattr(engines, "_export", full)
    with pytest.raises(OutputError, match="No space left"):
        engines.make_ready(model, "auto")
    assert not runtimes.Ready(model).knows("auto")  # once there is room, the engines are tried


def test_auto_is_torch_where_there_may_be_a_gpu_or_another_device_is_named(model, exported, monkeypatch):
    monkeypatch.setattr("deeplab.api.may_have_gpu", lambda: True)
    assert isinstance(deeplab.load(model, engine="auto").network, TorchNetwork)
    assert exported[1] == []
    with pytest.raises((CheckpointError, MissingExtraError)):  # it opens what the fixture exports
        deeplab.load(model, engine="auto", device="cpu")
    assert exported[1]


def test_of_two_processes_one_exports_and_the_other_waits_for_it(model, exported):
    ready = runtimes.Ready(model)
    with alone_in(ready.folder):
        other = threading.Thread(target=engines.make_ready, args=(model, "auto"))
        other.start()
        other.join(0.3)
        assert other.is_alive()
        ready.choose({})
    other.join()
    assert exported[1] == []
    assert ready.chosen() == "torch"


def test_a_cache_that_cannot_be_written_is_told_before_the_export(model, exported, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "file"))
    for engine in ("onnx", "auto"):
        with pytest.raises(OutputError, match=r"cannot be written .* name another folder by DEEPLAB_CACHE"):
            engines.make_ready(model, engine)
    assert exported[1] == []


def test_where_nothing_can_be_kept_auto_is_torch_and_says_so(model, exported, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "file"))
    assert isinstance(deeplab.load(model, engine="auto").network, TorchNetwork)
    (told,) = caplog.messages
    assert told.startswith("engine auto is torch this time: ")
    assert told.endswith("name another folder by DEEPLAB_CACHE")
    with pytest.raises(OutputError, match="name another folder by DEEPLAB_CACHE"):
        deeplab.load(model, engine="onnx")


def test_what_is_made_ready_is_silent_unless_progress_is_asked_for(model, monkeypatch):
    asked = []

    def make(path, engine, *, progress):
        asked.append(progress)
        raise SettingsError("made enough")

    monkeypatch.setattr(evaluation, "make_ready", make)
    for progress in (None, no_progress):
        with pytest.raises(SettingsError, match="made enough"):
            deeplab.load(model, engine="onnx", progress=progress)
    assert asked == [None, no_progress]


@pytest.mark.parametrize("package", ["torch", "onnxruntime_gpu", "onnxscript", "deeplab"])
def test_what_another_version_made_is_made_anew(model, tmp_path, monkeypatch, package):
    name = package.partition("_")[0]
    for each in ("torch", "onnxruntime", "onnxscript", "deeplab"):
        (tmp_path / each).mkdir()
    monkeypatch.setattr(
        "deeplab.runtimes._ready.find_spec",
        lambda name: SimpleNamespace(origin=str(tmp_path / name / "__init__.py")) if name != "openvino" else None,
    )
    folders = set()
    for version in ("1.9.0", "1.10.0"):
        installed = tmp_path / f"{package}-{version}.dist-info"
        installed.mkdir()
        (tmp_path / f"{name}vision-{version}.dist-info").mkdir()  # another package
        folders |= {runtimes.Ready(model).folder for _ in range(2)}
        assert _ready._versions()[name] == [f"{package}-{version}"]
        installed.rmdir()
    assert len(folders) == 2


def test_what_earlier_versions_made_is_deleted_but_for_the_latest(model, exported):
    ready = runtimes.Ready(model)
    for age, name in enumerate(("new", "older", "oldest"), start=1):
        folder = ready.folder.with_name(name)
        folder.mkdir(parents=True)
        os.utime(folder, (1e9 - age, 1e9 - age))
    engines.make_ready(model, "auto")
    assert {folder.name for folder in ready.folder.parent.iterdir()} == {ready.folder.name, "new", "older"}


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"engine": "rm"}'])
def test_a_damaged_note_is_made_anew(model, exported, damage):
    engines.make_ready(model, "auto")
    ready = runtimes.Ready(model)
    ready.choice.write_text(damage)
    assert ready.chosen() is None


def test_another_model_has_another_folder(model, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(model.read_bytes() + b" ")
    assert runtimes.Ready(other).folder != runtimes.Ready(model).folder


def test_an_engine_that_is_not_installed_is_told(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"deeplab\[openvino\]"):
        deeplab.load(model, engine="openvino")


def test_an_engine_runs_on_the_device_that_is_asked_for(model, monkeypatch):
    asked = []
    monkeypatch.setattr(runtimes.Ready, "knows", lambda *_: True)

    def load(path, *, device, precision):
        asked.append((path.suffix, device, precision))
        raise SettingsError("no such device")

    monkeypatch.setattr(runtimes, "load", load)
    with pytest.raises(SettingsError, match="no such device"):
        deeplab.load(model, engine="onnx", device="cuda:1")
    assert asked == [(".onnx", "cuda:1", "float32")]


def test_a_device_that_an_engine_does_not_have_is_refused_before_the_export(model, monkeypatch):
    monkeypatch.setattr(evaluation, "make_ready", None)
    with pytest.raises(SettingsError, match="engine openvino computes on cpu, not on cuda:1"):
        deeplab.load(model, engine="openvino", device="cuda:1")


@pytest.mark.parametrize("engine", ["compiled", "openvino"])
def test_an_exported_model_runs_in_its_own_engine(engine):
    with pytest.raises(SettingsError, match=f"engine {engine} is not that of x.onnx, which is exported; leave it out"):
        deeplab.load("x.onnx", engine=engine)


@pytest.mark.parametrize("engine", ["torch", "auto", "onnx"])
def test_an_exported_model_may_be_told_its_engine(engine):
    with pytest.raises(InputNotFoundError, match=r"no exported file x\.onnx"):
        deeplab.load("x.onnx", engine=engine)


def test_precision_is_that_of_torch(model, make_image):
    with pytest.raises(
        SettingsError, match="precision bfloat16 is for the engines torch, compiled, openvino, not onnx"
    ):
        deeplab.load(model, engine="onnx", precision="bfloat16")
    with pytest.raises(SettingsError, match="float16 is for GPUs"):
        deeplab.load(model, precision="float16", device="cpu")
    image = make_image(40, 56)
    exact = deeplab.load(model, device="cpu")(image).probabilities
    rough = deeplab.load(model, precision="bfloat16", device="cpu")(image).probabilities
    assert 0 < np.abs(rough - exact).max() < 0.05
    assert rough.dtype == np.float32


def test_compiled_is_what_torch_compiles(model, make_image, monkeypatch):
    asked = []

    def compile(function, **options):
        asked.append(options)
        return function

    monkeypatch.setattr(torch, "compile", compile)
    image = make_image(40, 56)
    compiled = deeplab.load(model, engine="compiled", device="cpu")
    np.testing.assert_array_equal(compiled(image).labels, deeplab.load(model, device="cpu")(image).labels)
    assert asked == [{"dynamic": False, "options": {"freezing": True}}]
    assert torch._dynamo.config.recompile_limit >= 256


@pytest.mark.usefixtures("few_layers")
def test_a_crf_rnn_stays_out_of_what_is_compiled(make_image, monkeypatch):
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_: compile(function, backend="eager", dynamic=False))
    torch.manual_seed(0)
    options = {"num_classes": 3, "aspp_channels": 8, "atrous_rates": (), "crf_rnn": True}
    model = create_model("deeplabv3", backbone="resnet18", **options)
    compiled, plain = (TorchNetwork(model, device=torch.device("cpu"), compiled=each) for each in (True, False))
    images = make_image(40, 56)[np.newaxis]
    np.testing.assert_allclose(compiled.coarse_logits(images), plain.coarse_logits(images), atol=1e-4)
