"""The HTML around figures and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 2.5rem 1.5rem 4rem; background: #fff; color: #111;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
header { border-bottom: 3px solid #111; margin-bottom: 1.75rem; padding-bottom: 1rem; }
.kind { font-size: .85rem; letter-spacing: .08em; text-transform: uppercase; color: #444; margin: 0; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .2rem 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; border-top: 1px solid #999; padding-top: .9rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
p, ul { margin: .5rem 0; max-width: 44rem; }
li { margin: .25rem 0; }
.lead { font-size: 1.06rem; }
.warning { border: 2px solid #111; border-left-width: 10px; padding: .6rem .9rem; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: 1px;
  background: #999; border: 1px solid #999; margin: 1.2rem 0; padding: 0; }
.answers > div { background: #fff; padding: .8rem 1rem; }
.answers dt { font-size: .88rem; color: #333; }
.answers dd { margin: 0; }
.answers .words { font-size: 1.2rem; font-weight: 650; line-height: 1.3; }
.answers .value { font-size: 1.6rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.answers .beside { font-size: .85rem; color: #333; }
figure { margin: 1.2rem 0; break-inside: avoid; }
figcaption { font-size: .92rem; max-width: 44rem; }
figcaption b { margin-right: .35em; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 13px system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; fill: #111; }
svg text.label { font-weight: 650; }
svg text.name { fill: #333; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-size: .88rem; font-variant-numeric: tabular-nums; width: 100%;
  break-inside: avoid; }
caption { text-align: left; font-size: .92rem; padding-bottom: .35rem; }
th, td { text-align: right; padding: .28rem .6rem; border-bottom: 1px solid #ccc; vertical-align: top; }
thead th { border-bottom: 2px solid #111; vertical-align: bottom; font-weight: 650; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 500; }
tbody th, tbody td { white-space: nowrap; }
.full { font-size: .8rem; }
.full th, .full td { padding: .22rem .4rem; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.note { font-size: .88rem; color: #333; }
code { font-size: .9em; }
footer { margin-top: 3rem; border-top: 1px solid #999; padding-top: .8rem; font-size: .85rem; color: #333; }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } h2 { break-after: avoid; }
  a { color: inherit; text-decoration: none; } @page { margin: 18mm 16mm; } }
"""


def document(*, kind: str, title: str, lead: str, parts: Iterable[str]) -> str:
    """A whole page. `parts` are HTML; everything else is text."""
    made = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><p class="kind">{escape(kind)}</p><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p></header>\n<main>\n'
        + "\n".join(parts)
        + f"\n</main>\n<footer>Made by Overt on {made}. This page holds figures only: no pictures, no names, no "
        "templates.</footer>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(words: str, kind: str = "") -> str:
    about = f' class="{kind}"' if kind else ""
    return f"<p{about}>{_prose(words)}</p>"


def listing(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_prose(item)}</li>" for item in items) + "</ul>"


def _prose(words: str) -> str:
    """Escaped, and what stands in backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words))


def answers(items: Iterable[tuple[str, str, str]]) -> str:
    """Question, the answer large, and what stands beside it."""
    cells = (
        f'<div><dt>{escape(question)}</dt><dd class="{_size(value)}">{escape(value)}</dd>'
        f'<dd class="beside">{escape(beside)}</dd></div>'
        for question, value, beside in items
    )
    return f'<dl class="answers">{"".join(cells)}</dl>'


def _size(value: str) -> str:
    """Words are set smaller than figures."""
    return "words" if value[:1].isalpha() else "value"


def figure(number: int, svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption><b>Figure {number}.</b>{escape(caption)}</figcaption></figure>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """The first cell of a row is its name. `kind`: `full` for one with many columns."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="wide"><table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """What was measured with what."""
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'
