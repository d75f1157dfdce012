"""Compiled kernels that are kept on disk where a place for them can be written, and compiled anew where none can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function compiled by numba without the interpreter lock; it may not make arrays, only use those it is given.

    numba keeps the machine code beside the package, in the user's cache folder or in NUMBA_CACHE_DIR, whichever can be
    written. Where none can (a read-only container without a home), compiling costs seconds in every run, which is
    better than to fail. Counting references to arrays that the caller holds anyway would cost more than the kernels'
    work, so that it is switched off.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        return cast(Function, numba.njit(**options)(function))


def inlined(function: Function) -> Function:
    """A small part of a compiled function, compiled into each place that calls it."""
    return cast(Function, numba.njit(inline="always", error_model="numpy", _nrt=False)(function))
