"""Style and script of the page, put inline so that it opens without network."""

from __future__ import annotations

from importlib.resources import files


def script() -> str:
    """The script of the page."""
    return _resource("page.js")


def stylesheet(light_colours: str, dark_colours: str) -> str:
    """The style of the page: light by default and in print, dark where the reader prefers it.

    Args:
        light_colours: CSS definitions of the drawings' colours on the light background.
        dark_colours: likewise on the dark one.
    """
    drawings = f":root{{{light_colours}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark_colours}}}}}\n"
    return _resource("page.css") + drawings


def _resource(name: str) -> str:
    return files("segnt_tools.report").joinpath(name).read_text(encoding="utf-8")
