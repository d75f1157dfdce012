"""Annotate assembled genomes at single-nucleotide resolution with DNA foundation models."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("segnt_tools")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
