"""Drawings that follow the page: matplotlib's SVG with colours that adapt to a light or a dark background."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-ins that become CSS variables: text, secondary text, grid lines, background.
INK, MUTED, GRID, PAPER = "#000001", "#000002", "#000003", "#000004"
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"}
LIGHT_PAPER, DARK_PAPER = "#ffffff", "#1b1f24"

# Okabe and Ito's colours, which colour-blind readers can tell apart.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
BASE_COLOURS = ("#009E73", "#0072B2", "#E69F00", "#D55E00")  # A, C, G, T

# WCAG 2.1, success criterion 1.4.11: graphics need a contrast of 3:1 to be made out.
_CONTRAST = 3.0

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "segnt_tools",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify": True,
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """matplotlib's settings for the report, without touching those of the rest of the process."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def shortened(path: str) -> str:
    """An SVG path of straight lines with horizontal and vertical steps written by their one new coordinate."""
    parts: list[str] = []
    before = ("", "")
    for command, x, y in _STEP.findall(path):
        if command == "z":
            parts.append("z")
        elif command == "L" and y == before[1]:
            parts.append("" if x == before[0] else f"H{x}")
        elif command == "L" and x == before[0]:
            parts.append(f"V{y}")
        else:
            parts.append(f"{command}{x} {y}")
        before = (x, y) if x else before
    return "".join(parts) if _STRAIGHT.fullmatch(path) else path


_STEP = re.compile(r"([MLz])(?:\s*(-?[\d.]+)\s+(-?[\d.]+))?")
_STRAIGHT = re.compile(r"[MLz\s\d.-]*")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")


def _rounded(number: re.Match[str]) -> str:
    """A coordinate to a tenth of a point, finer than anything a screen or a printer shows."""
    return f"{float(number[0]):.1f}".removesuffix(".0")


@dataclass
class Drawer:
    """Turns figures into SVG text for one page, with ids that are unique on it, and collects the colours used."""

    colours: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def svg(self, figure: Figure, title: str, description: str) -> str:
        """The figure as an SVG element that a screen reader announces by title and description."""
        buffer = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=metadata)
        return self._adapt(buffer.getvalue(), title, description)

    def _adapt(self, text: str, title: str, description: str) -> str:
        prefix = f"g{next(self._numbers)}"
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
        text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
        text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
        text = re.sub(r"<[^>]+>", lambda tag: _LONG_NUMBER.sub(_rounded, tag[0]), text)
        text = re.sub(r' d="([^"]*)"', lambda path: f' d="{shortened(path[1])}"', text)
        text = re.sub(r"\n\s*", " ", text)
        text = re.sub(
            r' id="(?:figure|patch|axes|matplotlib|xtick|ytick|line2d|text|legend|Fill|Poly|Quad|Line)[^"]*"', "", text
        )
        text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
        text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
        text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
        text = re.sub(r"#[0-9a-fA-F]{6}\b", self._variable, text)
        return self._announce(text, prefix, title, description)

    def _variable(self, match: re.Match[str]) -> str:
        colour = match[0].lower()
        if colour in _VARIABLES:
            return f"var({_VARIABLES[colour]})"
        return self.colour(colour)

    def colour(self, colour: str) -> str:
        """The CSS value of a colour that adapts to the background."""
        self.colours.add(colour.lower())
        return f"var(--c{colour.lower()[1:]})"

    @staticmethod
    def _announce(text: str, prefix: str, title: str, description: str) -> str:
        from html import escape

        head, body = text.split(">", 1)
        box = re.search(r'viewBox="[^"]+"', head)
        width = re.search(r'width="([\d.]+)pt"', head)
        style = f' style="max-width:{float(width[1]) * 96 / 72:.0f}px"' if width else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
            f'aria-labelledby="{prefix}-title {prefix}-desc" {box[0] if box else ""}{style}>'
            f'<title id="{prefix}-title">{escape(title)}</title><desc id="{prefix}-desc">{escape(description)}</desc>'
            f"{body.strip()}"
        )

    def css(self, paper: str) -> str:
        """Definitions of all colours used, each with enough contrast to the background."""
        return "".join(f"--c{colour[1:]}:{readable(colour, paper)};" for colour in sorted(self.colours))


def readable(colour: str, paper: str) -> str:
    """The colour, mixed with black or white until its contrast with the background suffices."""
    target = (0, 0, 0) if _luminance(_channels(paper)) > 0.5 else (255, 255, 255)
    channels = _channels(colour)
    for step in range(21):
        mixed = tuple(round(c + (t - c) * step / 20) for c, t in zip(channels, target, strict=True))
        if contrast(mixed, _channels(paper)) >= _CONTRAST:
            break
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _luminance(channels: tuple[int, ...]) -> float:
    """Relative luminance of sRGB (WCAG 2.1)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Contrast of two colours, from 1 to 21 (WCAG 2.1)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
