import numpy as np
import pytest
from PIL import Image

from deeplab.errors import OutputError
from deeplab.images.georeference import copy_georeference

rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")

SYSTEMS = {"metres": "EPSG:32633", "degrees": "EPSG:4326"}


@pytest.fixture
def save_map(tmp_path):
    def save(system, *, transform=(500_000, 0.5, 0.1, 5_600_000, 0.1, -0.5)):
        path = tmp_path / "map.tif"
        profile = {"driver": "GTiff", "height": 6, "width": 8, "count": 3, "dtype": "uint8", "crs": system}
        with rasterio.open(path, "w", **profile, transform=rasterio.Affine.from_gdal(*transform)) as file:
            file.write(np.zeros((3, 6, 8), np.uint8))
        return path

    return save


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "labels.png")
    return tmp_path / "labels.png"


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_picture_of_a_map_lies_where_the_map_does(save_map, picture, system):
    source = save_map(system)
    copy_georeference(source, picture)
    with rasterio.open(source) as there, rasterio.open(picture) as here:
        assert here.crs == there.crs
        assert here.transform == there.transform
        assert here.xy(5, 7) == there.xy(5, 7)


def test_what_lay_beside_an_earlier_picture_of_that_name_goes(tmp_path, picture, save_map):
    copy_georeference(save_map(SYSTEMS["metres"]), picture)
    assert (tmp_path / "labels.png.aux.xml").exists()
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "photo.jpg")
    copy_georeference(tmp_path / "photo.jpg", picture)
    assert not (tmp_path / "labels.png.aux.xml").exists()
    (tmp_path / "labels.png.aux.xml").mkdir()
    with pytest.raises(OutputError, match="is of another picture and cannot be deleted"):
        copy_georeference(tmp_path / "photo.jpg", picture)


def test_a_map_that_is_shown_turned_has_nothing_beside_it(tmp_path, picture, save_map, monkeypatch):
    monkeypatch.setattr("deeplab.images.georeference.orientation_of", lambda file: 6)
    copy_georeference(save_map(SYSTEMS["metres"]), picture)
    assert not (tmp_path / "labels.png.aux.xml").exists()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_no_map_or_cannot_be_read_has_nothing_beside_it(tmp_path, picture, save_map, monkeypatch):
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "photo.tif")
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "photo.jpg")
    (tmp_path / "text.tif").write_text("no picture")
    for name in ("photo.tif", "photo.jpg", "text.tif"):
        copy_georeference(tmp_path / name, picture)
        assert not (tmp_path / "labels.png.aux.xml").exists()
    source = save_map(SYSTEMS["metres"])
    monkeypatch.setattr("deeplab.images.georeference.find_spec", lambda name: None)
    copy_georeference(source, picture)
    assert [path.name for path in tmp_path.glob("*.xml")] == []
