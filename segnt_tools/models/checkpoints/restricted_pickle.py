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
MOST_INFLATED = 100
"""Contents this many times larger than their compressed file are taken for a bomb; weights shrink by less than two."""
_ENOUGH = 2**24  # bytes that are always let through
_PIECE = 2**26


class UnsafePickleError(pickle.UnpicklingError):
    """The pickle asks for something that a tree of arrays does not need."""


class _Dtype:
    """A numpy dtype under construction."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str) or code.lstrip("<>|=") not in _DTYPES:
            raise UnsafePickleError("an array of something else than numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if len(state) > 1 else "="
        if not isinstance(order, str) or order not in ("<", ">", "|", "="):
            raise UnsafePickleError("an unknown byte order")
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
        # Not shown: a shape made of nested tuples could be endless as text.
        raise UnsafePickleError("an array whose shape is no tuple of sizes")
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
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise EOFError(f"{left} of {size} bytes are missing")
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _ordered_dict() -> dict[str, Any]:
    """OrderedDict is written as a call without arguments, then its items."""
    return {}


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
    ("collections", "OrderedDict"): _ordered_dict,
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
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "PUT", "BINPUT",
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
            raise UnsafePickleError(f"a call of a {type(function).__name__}")
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

    def _long_bytes(self) -> None:
        """Bytes or a byte array; read in pieces, because Python's own unpickler trusts the size of a byte array."""
        size: int = struct.unpack("<Q", self.read(8))[0]  # type: ignore[attr-defined]
        pieces = []
        while size:
            piece: bytes = self.read(min(size, _PIECE))  # type: ignore[attr-defined]
            if not piece:
                raise EOFError("the file ends within an array")
            pieces.append(piece)
            size -= len(piece)
        self.append(b"".join(pieces))  # type: ignore[attr-defined]

    def _set_items(self) -> None:
        """Put items into a dictionary whose keys are texts: hashing anything else could take for ever."""
        items: list[Any] = self.pop_mark()  # type: ignore[attr-defined]
        self._put(items)

    def _set_item(self) -> None:
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        value, key = stack.pop(), stack.pop()
        self._put([key, value])

    def _put(self, items: list[Any]) -> None:
        target = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(target, dict) or not all(isinstance(key, str) for key in items[::2]):
            raise UnsafePickleError("a dictionary whose keys are no texts")
        target.update(zip(items[::2], items[1::2], strict=True))

    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.NEWOBJ[0]] = _reduce
    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.BYTEARRAY8[0]] = _long_bytes
    dispatch[pickle.BINBYTES8[0]] = _long_bytes


class _Inflated(io.RawIOBase):
    """The contents of a zlib stream."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._inflate = raw, zlib.decompressobj()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as one step goes."""
        while not self._inflate.eof:
            compressed = self._inflate.unconsumed_tail or self._raw.read(2**16)
            if not compressed:
                raise EOFError("the compressed stream has no end")
            contents = self._inflate.decompress(compressed, len(buffer))
            if contents:
                buffer[: len(contents)] = contents
                return len(contents)
        return 0


class _Limited(io.RawIOBase):
    """A stream that ends with an error where more comes out of it than its file can honestly hold."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._left = stream, limit

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as one step goes."""
        contents = self._stream.read(len(buffer))
        self._left -= len(contents)
        if self._left < 0:
            raise UnsafePickleError(f"more than {MOST_INFLATED} times the memory of its compressed file")
        buffer[: len(contents)] = contents
        return len(contents)


def _decompressed(raw: IO[bytes], size: int) -> IO[bytes]:
    """A file's contents, where joblib compressed them."""
    magic = raw.read(6)
    raw.seek(0)
    contents: Any
    if magic[:2] == b"\x1f\x8b":
        contents = gzip.GzipFile(fileobj=raw)
    elif magic[:3] == b"BZh":
        contents = bz2.BZ2File(raw)
    elif magic == b"\xfd7zXZ\x00" or magic[:3] == b"\x5d\x00\x00":
        contents = lzma.LZMAFile(raw)  # noqa: SIM115  # it owns nothing: raw is closed by its opener
    elif magic[:1] == b"\x78":
        contents = io.BufferedReader(_Inflated(raw))
    else:
        return raw
    return io.BufferedReader(_Limited(contents, MOST_INFLATED * size + _ENOUGH))


def read_tree(path: Path) -> Tree:
    """The arrays of a joblib file: `{module: {parameter: array}}`.

    Raises:
        CheckpointError: the file asks for code, is damaged, or holds something else than such a tree.
    """
    try:
        with path.open("rb") as raw:
            tree = _unwrapped(_Reader(_decompressed(raw, path.stat().st_size)).load())
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
