"""Small pieces of HTML: escaped text, tables that sort and scroll, figures with captions, sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Html:
    """Text that is HTML already; everything else is escaped."""

    text: str


@dataclass(frozen=True, slots=True)
class Sorted:
    """A table cell that is sorted by a number or text other than what it shows."""

    shown: str | Html
    key: float | int | str


def html(value: object) -> str:
    """A value as HTML."""
    return value.text if isinstance(value, Html) else escape(str(value))


def slug(text: str) -> str:
    """Text as part of an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _breakable(name: str) -> str:
    """A name that may be broken after an underscore."""
    return escape(name).replace("_", "_<wbr>")


def paragraph(*parts: object, kind: str = "") -> str:
    """A paragraph; strings are escaped."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{''.join(html(part) for part in parts)}</p>"


def absent(text: str) -> str:
    """What is said where a part of the page has nothing to show."""
    return paragraph(text, kind="absent")


def link(target: str, text: str) -> Html:
    """A link inside the page."""
    return Html(f'<a href="#{escape(target)}">{escape(text)}</a>')


def section(identifier: str, title: str, body: Iterable[str], level: int = 2) -> str:
    """A section that a screen reader lists by its heading."""
    inner = "".join(body)
    return (
        f'<section id="{identifier}" aria-labelledby="{identifier}-h"><h{level} id="{identifier}-h">{escape(title)}'
        f"</h{level}>{inner}</section>"
    )


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Sequence[int] = (),
    sortable: bool | Sequence[int] = False,
    foot: Sequence[object] | None = None,
    kind: str = "",
) -> str:
    """A table whose first column names the rows.

    Args:
        caption: what it holds; read out first.
        header: column names.
        rows: cells: text, Html, or Sorted.
        numeric: columns that are aligned to the right.
        sortable: give the column names, or those of these columns, buttons that sort.
        foot: a last row that stays last.
        kind: CSS class.
    """
    heads = []
    for number, name in enumerate(header):
        sorts = sortable if isinstance(sortable, bool) else number in sortable
        inner = f'<button type="button">{_breakable(name)}</button>' if sorts else _breakable(name)
        align = ' class="n"' if number in numeric else ""
        heads.append(f'<th scope="col"{align}>{inner}</th>')
    body = "".join(_row(row, numeric) for row in rows)
    last = f"<tfoot>{_row(foot, numeric)}</tfoot>" if foot is not None else ""
    classes = " ".join(filter(None, (kind, "sortable" if sortable else "")))
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table{f' class={chr(34)}{classes}{chr(34)}' if classes else ''}><caption>{escape(caption)}</caption>"
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody>{last}</table></div>"
    )


def _row(row: Sequence[object], numeric: Sequence[int]) -> str:
    cells = []
    for number, cell in enumerate(row):
        shown = cell.shown if isinstance(cell, Sorted) else cell
        key = f' data-k="{escape(str(cell.key))}"' if isinstance(cell, Sorted) else ""
        align = ' class="n"' if number in numeric else ""
        tag, scope = ("th", ' scope="row"') if number == 0 else ("td", "")
        cells.append(f"<{tag}{scope}{align}{key}>{html(shown)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def figure(svg: str, caption: object, *, wide: bool = False, identifier: str = "") -> str:
    """A drawing with its caption."""
    attributes = (' class="wide"' if wide else "") + (f' id="{identifier}"' if identifier else "")
    return f"<figure{attributes}><figcaption>{html(caption)}</figcaption>{svg}</figure>"


def grid(figures: Iterable[str], *, pairs: bool = False) -> str:
    """Small drawings side by side as the width allows; pairs of larger ones."""
    return f'<div class="grid{" pairs" if pairs else ""}">{"".join(figures)}</div>'


def folded(summary: str, body: str) -> str:
    """Something that is opened on demand and always printed."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def listed(items: Iterable[object]) -> str:
    """A bullet list."""
    return f"<ul>{''.join(f'<li>{html(item)}</li>' for item in items)}</ul>"
