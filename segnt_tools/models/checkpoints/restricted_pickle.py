"""Reading joblib pickles of parameter trees without executing anything that they ask for.

A pickle is a small program that may call any function it can name. This reader knows a dozen names, all of which it
maps to inert functions of its own that only make numpy arrays of plain numbers; every other name, and every opcode that
a tree of arrays does not need, ends the reading. Neither joblib nor jax is needed: arrays that joblib wrote beside the
pickle are read from the stream, and pickled jax arrays are unwrapped to the numpy array inside.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from segnt_tools.errors import CheckpointError

Tree = dict[str, dict[str, npt.NDArray[Any]]]

_DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
LARGEST_FILE = 64 * 2**30
"""Bytes of a compressed file's contents beyond which it is taken for a bomb; the largest official tree has 2.3 GB."""


class UnsafePickleError(pickle.UnpicklingError):
    """The pickle asks for something that a tree of arrays does not need."""


class _Dtype:
    """A numpy dtype under construction."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str) or code.lstrip("<>|=") not in _DTYPES:
            raise UnsafePickleError(f"array of type {code!r}")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if len(state) > 1 else "="
        if order not in ("<", ">", "|", "="):
            raise UnsafePickleError(f"byte order {order!r}")
        self.value = np.dtype(f"{order}{self.value.str[1:]}")


def _made(dtype: object, shape: object, data: object, fortran: object) -> npt.NDArray[Any]:
    """An array from its raw bytes, after checking that they are exactly what the shape needs."""
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise UnsafePickleError("array whose contents are no plain numbers")
    sizes = _checked_shape(shape)
    if math.prod(sizes) * dtype.value.itemsize != len(data):
        raise UnsafePickleError(f"array of shape {sizes} in {len(data)} bytes")
    return np.frombuffer(data, dtype.value).reshape(sizes, order="F" if fortran else "C")


def _checked_shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise UnsafePickleError(f"array of shape {shape!r}")
    return shape


class _Array:
    """An array under construction: `numpy._reconstruct`, then its state."""

    value: npt.NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        self.value = _made(dtype, shape, data, fortran)


class _JoblibArray:
    """joblib's note that an array's bytes follow in the stream."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.shape = _checked_shape(state.get("shape"))
        self.fortran = state.get("order") == "F"
        dtype = state.get("dtype")
        if not isinstance(dtype, _Dtype):
            raise UnsafePickleError("array whose contents are no plain numbers")
        self.dtype = dtype.value
        self.aligned = state.get("numpy_array_alignment_bytes") is not None

    def read(self, stream: IO[bytes]) -> npt.NDArray[Any]:
        """The array, from behind the pickle's opcodes."""
        if self.aligned:
            padding = _exactly(stream, 1)[0]
            _exactly(stream, padding)
        data = _exactly(stream, math.prod(self.shape) * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """So many bytes; read in pieces, so that a false size cannot ask for memory that the file does not fill."""
    pieces, left = [], size
    while left:
        piece = stream.read(min(left, 2**26))
        if not piece:
            raise EOFError(f"{left} of {size} bytes are missing")
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _ndarray(*_arguments: object) -> None:
    """Stands for the class numpy.ndarray, which is only ever named."""
    raise UnsafePickleError("a call of numpy.ndarray")


def _reconstruct(*_arguments: object) -> _Array:
    return _Array()


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> npt.NDArray[Any]:
    return _made(dtype, shape, data, order == "F")


def _scalar(dtype: object, data: object) -> npt.NDArray[Any]:
    return _made(dtype, (), data, False)


def _jax_array(maker: object, arguments: object, state: object, *_aval: object) -> npt.NDArray[Any]:
    """A pickled jax array holds the numpy array's maker, its arguments and its state."""
    if maker is _reconstruct and isinstance(state, tuple):
        array = _Array()
        array.__setstate__(state)
        if array.value is not None:
            return array.value
    if maker is _from_buffer and isinstance(arguments, tuple):
        return _from_buffer(*arguments)
    raise UnsafePickleError("a jax array that holds no numpy array")


def _latin1(text: object, encoding: object = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError("text in an unexpected encoding")
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _Dtype,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
    ("jax._src.array", "_reconstruct_array"): _jax_array,
    ("jax._src.device_array", "reconstruct_device_array"): _jax_array,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _latin1,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}

# fmt: off
_OPCODES = (
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1",
    "BININT2", "LONG", "LONG1", "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "PUT", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
)
# fmt: on


class _Reader(pickle._Unpickler):
    """Python's own unpickler with a closed list of opcodes and names."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _OPCODES
    }

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._stream = stream

    def find_class(self, module: str, name: str) -> Any:
        """One of our own functions, or the end."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}") from None

    def _reduce(self) -> None:
        """Call one of the allowed functions, and nothing else that may lie on the stack."""
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        arguments, function = stack.pop(), stack[-1]
        if not any(function is allowed for allowed in _ALLOWED.values()) or not isinstance(arguments, tuple):
            raise UnsafePickleError(f"a call of {function!r}")
        stack[-1] = function(*arguments)

    def _build(self) -> None:
        """Give its state to one of our own objects, and replace a finished one by its array."""
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        state, made = stack.pop(), stack[-1]
        if not isinstance(made, _Dtype | _Array | _JoblibArray):
            raise UnsafePickleError(f"a state for {type(made).__name__}")
        made.__setstate__(state)
        if isinstance(made, _JoblibArray):
            stack[-1] = made.read(self._stream)

    def _byte_array(self) -> None:
        size: int = struct.unpack("<Q", self.read(8))[0]  # type: ignore[attr-defined]
        self.append(self._framed(size))  # type: ignore[attr-defined]

    def _long_bytes(self) -> None:
        size: int = struct.unpack("<Q", self.read(8))[0]  # type: ignore[attr-defined]
        self.append(self._framed(size))  # type: ignore[attr-defined]

    def _framed(self, size: int) -> bytes:
        if size > LARGEST_FILE:
            raise UnsafePickleError(f"{size} bytes in one piece")
        data: bytes = self.read(size)  # type: ignore[attr-defined]
        return data

    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.NEWOBJ[0]] = _reduce
    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.BYTEARRAY8[0]] = _byte_array
    dispatch[pickle.BINBYTES8[0]] = _long_bytes


def _opened(path: Path) -> IO[bytes]:
    """The file's contents, decompressed where joblib compressed them."""
    raw = path.open("rb")
    magic = raw.read(6)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if magic[:3] == b"BZh":
        return bz2.BZ2File(raw)
    if magic[:6] == b"\xfd7zXZ\x00" or magic[:3] == b"\x5d\x00\x00":
        return lzma.LZMAFile(raw)
    if magic[:1] == b"\x78":
        inflate = zlib.decompressobj()
        with raw:
            contents = inflate.decompress(raw.read(), LARGEST_FILE)
        if not inflate.eof:
            raise EOFError("the compressed stream has no end")
        return io.BytesIO(contents)
    return raw


def read_tree(path: Path) -> Tree:
    """The arrays of a joblib file: `{module: {parameter: array}}`.

    Raises:
        CheckpointError: the file asks for code, is damaged, or holds something else than such a tree.
    """
    try:
        with _opened(path) as stream:
            tree = _unwrapped(_Reader(stream).load())
    except UnsafePickleError as error:
        raise CheckpointError(
            f"not read, because it asks for more than arrays: {error}",
            file=path,
            hint="A checkpoint is a tree of number arrays; get the file from a source you trust",
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error}", file=path) from error
    # A damaged pickle can end in almost any error of the interpreter; none of them is a bug of ours.
    except Exception as error:
        raise CheckpointError(f"damaged: {type(error).__name__}: {error}", file=path) from error
    return tree


def _unwrapped(value: object) -> Tree:
    if not isinstance(value, dict):
        raise UnsafePickleError(f"a {type(value).__name__} where a tree of modules should be")
    tree: Tree = {}
    for module, parameters in value.items():
        if not isinstance(module, str) or not isinstance(parameters, dict):
            raise UnsafePickleError("a tree that is not {module: {parameter: array}}")
        tree[module] = {}
        for name, array in parameters.items():
            plain = array.value if isinstance(array, _Array) else array
            if not isinstance(name, str) or not isinstance(plain, np.ndarray):
                raise UnsafePickleError(f"a {type(plain).__name__} where an array should be, in {module}")
            tree[module][name] = plain
    return tree
