import json

import numpy as np
import pytest

from deeplab.crf import PRESETS, DenseCRF, PairwiseKernel, open_crf, save_crf
from deeplab.errors import InputNotFoundError, SettingsError, UnknownNameError


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_comes_back_from_its_file(tmp_path, preset):
    save_crf(tmp_path / "crf.json", DenseCRF(preset, iterations=3))
    crf = open_crf(tmp_path / "crf.json")
    assert crf.kernels == PRESETS[preset] == open_crf(preset).kernels
    assert crf.iterations == 3


def test_every_field_of_a_kernel_comes_back(tmp_path, make_image):
    kernel = PairwiseKernel(
        weight=2, sigma_xy=(3, 4), sigma_rgb=(5, 6, 7), compatibility=np.array([[0, 1], [2, 0]]), normalization="after"
    )
    save_crf(tmp_path / "crf.json", DenseCRF([kernel]))
    image, probabilities = make_image(8, 9), np.full((2, 8, 9), 0.5)
    probabilities[0, :4] = 0.9
    np.testing.assert_array_equal(
        open_crf(str(tmp_path / "crf.json"))(image, probabilities), DenseCRF([kernel])(image, probabilities)
    )


def test_a_file_holds_what_differs_and_what_people_want_to_know(tmp_path):
    save_crf(tmp_path / "crf.json", DenseCRF("v2-resnet101"), about={"gain": 0.01})
    assert json.loads((tmp_path / "crf.json").read_text()) == {
        "kernels": [{"weight": 4, "sigma_xy": 67, "sigma_rgb": 3}, {"weight": 3, "sigma_xy": 1}],
        "iterations": 10,
        "gain": 0.01,
    }


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    kernel = PairwiseKernel(weight=np.float32(4), sigma_xy=(np.int64(3), np.float32(2)))
    save_crf(tmp_path / "crf.json", DenseCRF([kernel], iterations=np.int64(5)))
    assert open_crf(tmp_path / "crf.json").kernels == (PairwiseKernel(weight=4, sigma_xy=(3, 2)),)


def test_words_are_written_as_they_are(tmp_path):
    save_crf(tmp_path / "crf.json", DenseCRF("v1"), about={"data": "Straße"})
    assert "Straße" in (tmp_path / "crf.json").read_text(encoding="utf-8")


def test_a_file_without_iterations_has_those_of_the_paper_whatever_the_case_of_its_ending(tmp_path):
    (tmp_path / "CRF.JSON").write_text('{"kernels": [{"weight": 3, "sigma_xy": 1}]}', encoding="utf-8")
    assert open_crf(tmp_path / "CRF.JSON").iterations == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("\xff\xfe", "not readable as JSON"),
        ("[]", "wanted {"),
        ('{"kernels": []}', "wanted {"),
        ('{"kernels": [{"weight": 3, "sigma": 1}]}', "a kernel has weight, sigma_xy"),
        ('{"kernels": [{"weight": 3}]}', "sigma_xy"),
        ('{"kernels": [{"weight": "much", "sigma_xy": 1}]}', "wanted kernels as"),
        ('{"kernels": [{"weight": 3, "sigma_xy": -1}]}', "sigma_xy wants numbers above 0"),
        ('{"kernels": [{"weight": 3, "sigma_xy": 1}], "iterations": -1}', "iterations wants a whole number"),
        *(
            (
                f'{{"kernels": [{{"weight": 3, "sigma_xy": 1}}], "iterations": {value}}}',
                "iterations wants a whole number",
            )
            for value in ('"x"', "null", "5.0", "Infinity", "[5]")
        ),
        ('{"kernels": [{"weight": 3, "sigma_xy": 1, "compatibility": [[1], [1, 2]]}]}', "compatibility wants"),
    ],
)
def test_a_broken_file_is_told_in_a_line(tmp_path, text, message):
    (tmp_path / "crf.json").write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match=r"crf\.json: ") as raised:
        open_crf(tmp_path / "crf.json")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(UnknownNameError, match="there are crf-rnn, v1,"):
        open_crf("v9")
    with pytest.raises(InputNotFoundError, match="no such file"):
        open_crf(tmp_path / "crf.json")
    with pytest.raises(SettingsError, match=r"ends in \.json"):
        save_crf(tmp_path / "crf.yaml", DenseCRF("v1"))
