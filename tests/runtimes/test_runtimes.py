from deeplab import catalog
from deeplab.settings import EXPORT_SUFFIXES


def test_every_file_is_a_format_and_has_its_ending():
    files = catalog.offering("runtimes", "save")
    assert files == catalog.offering("runtimes", "load")
    assert files == sorted(name.replace("-", "_") for name in EXPORT_SUFFIXES)
