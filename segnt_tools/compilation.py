"""Compiled kernels that are kept on disk where a place for them can be written, and compiled anew where none can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether a compiled function's machine code lies on disk, so that its first call takes no time."""
    place = getattr(getattr(function, "_cache", None), "cache_path", None)
    if place is None:
        return False
    code = cast(Any, function).py_func.__code__
    source = Path(code.co_filename)
    changed = source.stat().st_mtime
    return any(index.stat().st_mtime >= changed for index in Path(place).glob(f"{source.stem}.{code.co_name}-*.nbi"))


def inlined(function: Function) -> Function:
    """A part of a compiled function, put into each place that calls it by LLVM.

    For what is called often: passing the many arrays of a decoder's state to a function of its own costs more than the
    work of most of them.
    """
    return cast(Function, numba.njit(forceinline=True, error_model="numpy", _nrt=False)(function))
