"""Pages of one file: text, tables, bars and pictures, without a network, in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = [
    "bars",
    "chart",
    "chip",
    "columns",
    "details",
    "details_of",
    "element",
    "figure",
    "page",
    "shaded",
    "table",
]

STYLE = """
:root { color-scheme: light dark;
  --ground: #fbfbf9; --card: #ffffff; --text: #22252a; --soft: #6a6f78; --line: #e2e3df;
  --bar: #4a7fb5; --track: #eceeea; --error: #b3261e; --warning: #94620a; --note: #3c6e8f; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #16181c; --card: #1e2126; --text: #e4e5e7; --soft: #9aa0aa; --line: #343840;
  --bar: #6ea3d8; --track: #2b2f36; --error: #ff8a80; --warning: #e9b44c; --note: #8cc4e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2.5rem 1.25rem 4rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0; }
.soft, figcaption { color: var(--soft); font-size: .875rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.15rem;
  margin: .85rem 0; overflow-x: auto; }
.error { border-left: .3rem solid var(--error); } .warning { border-left: .3rem solid var(--warning); }
.note { border-left: .3rem solid var(--note); }
.tag { font-size: .75rem; font-weight: 600; letter-spacing: .04em; text-transform: uppercase; margin-right: .5rem; }
.error .tag { color: var(--error); } .warning .tag { color: var(--warning); } .note .tag { color: var(--note); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
.track { background: var(--track); border-radius: .2rem; height: .55rem; min-width: 5rem; }
.fill { background: var(--bar); border-radius: .2rem; height: 100%; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.chip { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; border: 1px solid var(--line);
  vertical-align: -.05rem; margin-right: .45rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .9rem; margin-top: .8rem; }
figure { margin: 0; max-width: 100%; } figure img { display: block; max-width: 100%; border-radius: .3rem;
  border: 1px solid var(--line); }
figcaption { max-width: 22rem; overflow-wrap: anywhere; margin-top: .25rem; line-height: 1.35; }
details { margin-top: .6rem; } summary { cursor: pointer; color: var(--soft); font-size: .875rem; }
details ul { margin: .4rem 0 0; padding-left: 1.2rem; font-size: .875rem; overflow-wrap: anywhere; }
.shaded { display: block; text-align: right; padding: 0 .3rem; border-radius: .2rem; }
svg { display: block; max-width: 32rem; width: 100%; } svg text { fill: var(--soft); font-size: 12px; }
svg .axis { stroke: var(--line); } svg .curve { fill: none; stroke: var(--bar); stroke-width: 2.5; }
svg .curve ~ .curve { stroke: var(--soft); stroke-width: 1; }
.columns { display: flex; align-items: flex-end; gap: .25rem; height: 11rem; min-width: 30rem; }
.columns div { flex: 1; display: flex; flex-direction: column; justify-content: flex-end; height: 100%;
  text-align: center; font-size: .75rem; color: var(--soft); }
.columns i { background: var(--bar); border-radius: .2rem .2rem 0 0; display: block; }
"""


def page(title: str, *, subtitle: str, body: str) -> str:
    """A whole page; `body` is HTML, everything else text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(subtitle)}</p>\n{body}\n</body>\n</html>\n'
    )


def element(name: str, text: str, *, kind: str = "") -> str:
    """Text inside an element, of a class of STYLE."""
    attribute = f' class="{escape(kind)}"' if kind else ""
    return f"<{name}{attribute}>{escape(text)}</{name}>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are HTML, the head is text."""
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    top = "".join(element("th", name) for name in head)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def bars(share: float, text: str) -> str:
    """A bar of a share, 0 .. 1, with a text under it."""
    width = max(0.5, 100 * min(1.0, share)) if share > 0 else 0.0  # what is there is seen
    return (
        f'<div class="track"><div class="fill" style="width:{width:.2f}%"></div></div>'
        f'<span class="soft number">{escape(text)}</span>'
    )


def chip(color: Sequence[int]) -> str:
    """A small square of a colour, 0..255."""
    return f'<span class="chip" style="background:rgb({",".join(str(int(band)) for band in color)})"></span>'


def columns(values: Sequence[float], *, names: Sequence[str]) -> str:
    """A histogram; each column has its name under it and its number over it."""
    highest = max([*values, 1])
    made = (
        f'<div>{value:,.0f}<i style="height:{75 * value / highest:.1f}%"></i>{escape(name)}</div>'
        for value, name in zip(values, names, strict=True)
    )
    return f'<div class="columns">{"".join(made)}</div>'


def figure(address: str, caption: str) -> str:
    """A picture and what it is."""
    return f'<figure><img src="{escape(address)}" alt="">{element("figcaption", caption)}</figure>'


def details(summary: str, lines: Iterable[str]) -> str:
    """A list that opens on demand."""
    items = "".join(element("li", line) for line in lines)
    return f"<details>{element('summary', summary)}<ul>{items}</ul></details>"


def details_of(summary: str, body: str) -> str:
    """HTML that opens on demand."""
    return f"<details>{element('summary', summary)}{body}</details>"


def shaded(share: float, text: str) -> str:
    """A number on a ground that is the stronger the larger the share, 0 .. 1."""
    strength = 0.0 if share != share else 100 * min(1.0, share) ** 0.5
    style = f"background:color-mix(in srgb, var(--bar) {strength:.0f}%, transparent)"
    return f'<span class="shaded number" style="{style}">{escape(text)}</span>'


def chart(curves: Sequence[Sequence[tuple[float, float]]], *, x: str, y: str, top: float) -> str:
    """Curves from (0, 0) to (the largest x, top), the first one bold; their points are (x, y)."""
    width, height, left, bottom = 480, 260, 60, 36
    right = max(point[0] for curve in curves for point in curve)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + (width - left - 10) * point[0] / right, 10 + (height - bottom - 10) * (1 - point[1] / top)

    parts = []
    for step in range(5):
        (first, level), (last, _) = place((0, top * step / 4)), place((right, 0))
        across, down = place((right * step / 4, 0))
        parts.append(f'<line class="axis" x1="{first}" y1="{level:.1f}" x2="{last}" y2="{level:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{level + 4:.1f}" text-anchor="end">{top * step / 4:g}</text>')
        parts.append(f'<text x="{across:.1f}" y="{down + 16:.1f}" text-anchor="middle">{right * step / 4:g}</text>')
    for curve in curves:
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down in map(place, curve))
        parts.append(f'<polyline class="curve" points="{points}"/>')
    parts.append(f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle">{escape(x)}</text>')
    turned = f'x="12" y="{height / 2}" transform="rotate(-90 12 {height / 2})" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(y)}</text>")
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'
