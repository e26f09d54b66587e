"""Pages are whole, and what comes from files is text in them, never HTML."""

from __future__ import annotations

from html.parser import HTMLParser

from deeplab import _html

EVIL = "<script>alert('x')</script> & \"quotes\""


class Balanced(HTMLParser):
    """Collects the open elements; those that stay open at the end are a mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole_page() -> str:
    parts = [
        _html.element("p", EVIL, kind="soft"),
        _html.table(["", EVIL], [[_html.bars(0.5, EVIL), _html.chip((1, 2, 3))]]),
        _html.columns([1, 20], names=["1", EVIL]),
        _html.figure("data:image/png;base64,AAAA", EVIL),
        _html.details(EVIL, [EVIL, EVIL]),
    ]
    return _html.page(EVIL, subtitle=EVIL, body="".join(parts))


def test_every_element_is_closed() -> None:
    parser = Balanced()
    parser.feed(whole_page())
    assert parser.open == []


def test_text_stays_text() -> None:
    assert "<script" not in whole_page()
    assert "&lt;script&gt;" in whole_page()


def test_a_page_needs_no_network() -> None:
    assert "http" not in whole_page()


def test_a_bar_is_as_wide_as_its_share_and_what_is_there_is_seen() -> None:
    assert [_html.bars(share, "").split("width:")[1].split("%")[0] for share in (0, 1e-6, 0.25, 1)] == [
        *("0.00", "0.50", "25.00", "100.00")
    ]
