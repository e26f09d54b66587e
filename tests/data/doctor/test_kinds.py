from __future__ import annotations

import re
from pathlib import Path

from deeplab.data.doctor import KINDS

from ._sabotage import SABOTAGE


def test_every_kind_of_finding_is_provoked_here() -> None:
    assert {line.split(":")[0] for _, line in SABOTAGE.values()} == {
        f"{kind.severity} {name}" for name, kind in KINDS.items()
    }


def test_the_table_in_the_documentation_is_that_of_the_code() -> None:
    page = (Path(__file__).parents[3] / "docs/doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE)
    assert rows == [(name, kind.severity, kind.why, kind.fix, kind.repair) for name, kind in KINDS.items()]
