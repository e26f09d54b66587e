from __future__ import annotations

import re
from pathlib import Path

from deeplab.data.doctor import write_page

from ._sabotage import CLASSES, diagnose, relabel_copy, truncate


def test_the_page_is_one_file_with_pictures_of_what_was_found(root: Path, tmp_path: Path) -> None:
    relabel_copy(root)
    (root / "classes.txt").write_text(f"{CLASSES}<b>tree</b>\n")
    truncate(root / "val/images/5.png")
    write_page(tmp_path / "page.html", diagnose(root))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;tree&lt;/b&gt;" in text
    assert "<b>" not in text
    assert not re.findall(r"(?:https?:)?//\w", re.sub(r"data:image/png;base64,[^\"]*", "", text))
    assert text.count("<figure>") == 3  # two copies twice, and the mask of the image that cannot be read
    assert "prefers-color-scheme: dark" in text
