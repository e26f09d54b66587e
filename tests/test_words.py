"""Words of messages."""

import pytest

from deeplab._words import number_of


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes"), (1_200, "1,200 classes")]
)
def test_one_of_something_is_singular(count, words):
    assert number_of(count, "class", "classes") == words
