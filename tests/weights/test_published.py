from __future__ import annotations

import io
import re
import tarfile
import threading
from pathlib import Path

import pytest

from deeplab import checkpoints
from deeplab.errors import CheckpointError, DownloadError, InputNotFoundError, OutputError, UnknownNameError
from deeplab.weights import _cache, cached, find, published, shipped, sources
from deeplab.weights._cache import unpack

NAME = "tf/mobilenetv2_coco_voc_trainaug"
ENTRIES = pytest.mark.parametrize("entry", published().values(), ids=published())


@ENTRIES
def test_every_entry_can_be_fetched_and_converted(entry):
    assert published()[entry.name] is entry
    assert re.fullmatch(r"[a-z0-9]+/[\w.-]+", entry.name)
    assert entry.source in sources()
    assert Path(entry.file).name == entry.file
    assert entry.page.startswith("https://")
    assert entry.url is None or (entry.url.startswith("https://") and entry.url.endswith(f"/{entry.file}"))


@ENTRIES
def test_every_entry_says_what_it_is(entry):
    assert entry.network.startswith("DeepLab v")
    assert entry.num_classes in (19, 21, 150, 151, 182)
    assert entry.output_stride in (8, 16, 32)
    assert entry.miou is None or 30 < entry.miou < 90
    assert bool(entry.measured) == (entry.miou is not None)
    assert entry.data
    assert entry.licence
    assert entry.megabytes is None or 4 < entry.megabytes < 500
    assert re.fullmatch(r"([0-9a-f]{8})?", entry.sha256)


def test_no_two_entries_are_the_same_file():
    urls = [entry.url or entry.page for entry in published().values()]
    assert len(set(urls)) == len(urls)
    assert not set(published()) & set(shipped())


@pytest.mark.parametrize(
    "name, stride, miou, megabytes",
    [
        ("tf/mobilenetv2_dm05_coco_voc_trainaug", 16, 70.19, 7.6),
        ("tf/mobilenetv2_coco_voc_trainaug", 16, 75.32, 23),
        ("tf/xception65_coco_voc_trainaug", 16, 82.20, 439),
        ("tf/mobilenetv3_large_cityscapes_trainfine", 32, 72.41, 17),
        ("tf/mobilenetv3_small_cityscapes_trainfine", 32, 68.99, 5),
        ("tf/xception71_dpc_cityscapes_trainval", 8, 82.66, 446),
        ("tf/mobilenetv2_ade20k_train", 16, 32.04, 24.8),
        ("torchvision/deeplabv3_resnet101", 8, 67.4, 233.217),
        ("kazuto1011/deeplabv2_resnet101_msc-vocaug-20000", 8, 76.65, None),
        ("vainf/deeplabv3plus_resnet101_voc_os16", 16, 78.3, None),
        ("mmseg/deeplabv3plus_r101-d8_512x1024_80k_cityscapes", 8, 80.97, None),
    ],
)
def test_the_figures_are_those_of_the_publishers(name, stride, miou, megabytes):
    entry = published()[name]
    assert (entry.output_stride, entry.miou, entry.megabytes) == (stride, miou, megabytes)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache, empty; no test may go to the network."""
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_cache, "download", lambda url, file, **options: pytest.fail(f"asked for {url}"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def archive(shared, tmp_path_factory):
    """A real checkpoint of the official code, packed as the published ones are."""
    path = tmp_path_factory.mktemp("archive") / published()[NAME].file
    files = shared / "golden/tf_deeplab/mobilenetv2_voc"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for suffix in ("index", "data-00000-of-00001"):
            tar.add(files / f"model.ckpt.{suffix}", f"deeplabv3_mnv2_pascal_train_aug/model.ckpt-30000.{suffix}")
        add(tar, "deeplabv3_mnv2_pascal_train_aug/frozen_inference_graph.pb", b"graph")
    return path


def add(tar, name, content=b"", **facts):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in facts.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def serve(monkeypatch, archive):
    """Have the archive come in place of any download; the addresses that were asked for."""
    asked = []

    def download(url, file, **options):
        asked.append(url)
        file.write_bytes(archive.read_bytes())

    monkeypatch.setattr(_cache, "download", download)
    return asked


def test_a_name_is_downloaded_and_converted_once(cache, archive, monkeypatch):
    asked = serve(monkeypatch, archive)
    path = find(NAME)
    assert path == cached(published()[NAME]) == cache / NAME / "model.safetensors"
    assert find(NAME) == path
    assert asked == [published()[NAME].url]
    assert sorted(file.name for file in path.parent.iterdir()) == [".lock", "model.safetensors"]
    loaded = checkpoints.load(path)
    assert (loaded.model.entry, loaded.model.arguments["backbone"]) == ("deeplabv3", "mobilenetv2")
    assert loaded.training["published_as"] == NAME
    assert loaded.training["source"] == "tensorflow"


def test_a_file_placed_by_hand_is_taken_without_a_request_and_stays(cache, archive):
    by_hand = cache / NAME / archive.name
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(archive.read_bytes())
    assert checkpoints.load(find(NAME)).classes[15] == "person"
    assert by_hand.read_bytes() == archive.read_bytes()


def test_two_at_once_make_one_model(cache, archive, monkeypatch):
    asked = serve(monkeypatch, archive)
    found = []
    threads = [threading.Thread(target=lambda: found.append(find(NAME))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(asked) == 1


def test_what_came_damaged_is_deleted(cache, tmp_path, monkeypatch):
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"<html>no such file</html>")
    serve(monkeypatch, damaged)
    with pytest.raises(CheckpointError, match="a damaged archive"):
        find(NAME)
    assert [file.name for file in (cache / NAME).iterdir()] == [".lock"]


def test_a_file_placed_by_hand_is_checked(cache):
    entry = published()["torchvision/deeplabv3_resnet50"]
    by_hand = cached(entry).with_name(entry.file)
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"half of it")
    with pytest.raises(CheckpointError, match=r"cd0a2569\.pth: not the published file, .* begins with cd0a2569"):
        find(entry.name)
    assert by_hand.is_file()


def test_what_only_a_person_can_download_is_said_with_from_where_and_to_where(cache):
    entry = published()["jfzhang95/deeplab-resnet"]
    with pytest.raises(InputNotFoundError) as error:
        find(entry.name)
    assert str(error.value) == (
        f"jfzhang95/deeplab-resnet: download deeplab-resnet.pth.tar from {entry.page} and put it into "
        f"{cache / 'jfzhang95' / 'deeplab-resnet'}"
    )
    assert cached(entry).parent.is_dir()


def test_a_failed_download_is_told_and_tried_again(cache, archive, monkeypatch):
    def fail(url, file, **options):
        raise DownloadError(f"cannot download {url}")

    monkeypatch.setattr(_cache, "download", fail)
    with pytest.raises(DownloadError, match="cannot download https://"):
        find(NAME)
    serve(monkeypatch, archive)
    assert find(NAME).is_file()


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OutputError, match=r"cannot be written .* DEEPLAB_CACHE"):
        find(NAME)


@pytest.mark.parametrize(
    "typed, suggested",
    [
        ("mobilenetv2_coco_voc_trainaug", NAME),
        ("tf/mobilenetv2_voc", "tf/mobilenetv2_coco_voc_trainaug"),
        ("torchvision/deeplabv3_resnet5", "torchvision/deeplabv3_resnet50"),
        ("hf/deeplabv3_mobilenet_v2_1.0", "hf/deeplabv3_mobilenet_v2_1.0_513"),
        ("streets", "street"),
    ],
)
def test_a_misspelt_name_names_the_nearest_of_ours_and_others(typed, suggested):
    with pytest.raises(UnknownNameError, match=f"no model '{typed}'; did you mean .*{re.escape(suggested)}"):
        find(typed)


def test_a_name_like_none_names_the_command_that_lists_them():
    with pytest.raises(UnknownNameError, match=r"no model 'zzzzzzzz'; 'deeplab models' lists them$"):
        find("zzzzzzzz")


@pytest.mark.parametrize(
    "name, facts",
    [
        ("../model.ckpt.index", {}),
        ("/tmp/model.ckpt.index", {}),
        ("folder/../../model.ckpt.index", {}),
        ("folder/model.ckpt.index", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("folder/model.ckpt.index", {"type": tarfile.LNKTYPE, "linkname": "../secret"}),
        ("folder/model.ckpt.index", {"type": tarfile.FIFOTYPE}),
    ],
)
def test_an_archive_that_reaches_out_of_its_folder_is_refused(tmp_path, name, facts):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        add(tar, name, **facts)
    (tmp_path / "inner").mkdir()
    with pytest.raises(CheckpointError, match="no plain file of one folder"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "inner")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar.gz", "inner"]
    assert list((tmp_path / "inner").iterdir()) == []


@pytest.mark.parametrize("names, count", [((), 0), (("a/x.index", "a/y.index"), 2)])
def test_an_archive_has_to_hold_one_checkpoint(tmp_path, names, count):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        add(tar, "a/frozen_inference_graph.pb")
        for name in names:
            add(tar, name)
    (tmp_path / "inner").mkdir()
    with pytest.raises(CheckpointError, match=f"wanted one TensorFlow checkpoint in it, found {count}"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "inner")
