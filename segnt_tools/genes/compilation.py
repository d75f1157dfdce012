"""Compiled kernels that are kept on disk where a place for them can be written, and compiled anew where none can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function compiled by numba without the interpreter lock.

    numba keeps the machine code beside the package, in the user's cache folder or in NUMBA_CACHE_DIR, whichever can be
    written. Where none can (a read-only container without a home), compiling costs seconds in every run, which is
    better than to fail.
    """
    try:
        return cast(Function, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:
        return cast(Function, numba.njit(nogil=True)(function))


def inlined(function: Function) -> Function:
    """A part of a compiled function, compiled into each place that calls it.

    Passing the kernels' tuples of arrays to a real function costs more than what most of these parts do.
    """
    return cast(Function, numba.njit(inline="always")(function))
