"""What a user sees while a tool runs: log lines and progress on standard error."""

from __future__ import annotations

import logging
import sys
import time
from enum import Enum

logger = logging.getLogger("segnt_tools")

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_UPDATES = 0.5


class _Formatter(logging.Formatter):
    """Plain lines for information, a word before warnings and errors."""

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno == logging.INFO else f"{record.levelname}: {message}"


def set_up(quiet: bool, debug: bool) -> None:
    """Log to standard error: information by default, errors only if quiet, everything if debug."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.ERROR if quiet else logging.INFO)


class _Unit(Enum):
    """What numbers of bases are told in, each large enough that a small input does not read 0.00."""

    MEGABASES = ("Mb", 10**6, 2, 3)
    KILOBASES = ("kb", 10**3, 2, 1)
    BASES = ("bases", 1, 0, 0)

    def __init__(self, word: str, bases: int, digits: int, rate_digits: int) -> None:
        self.word = word
        self.bases = bases
        self._digits = digits
        self._rate_digits = rate_digits

    @classmethod
    def of(cls, bases: float) -> _Unit:
        """Mb from 0.1 Mb on, kb from 1 kb on."""
        return cls.MEGABASES if bases >= 10**5 else cls.KILOBASES if bases >= 10**3 else cls.BASES

    def count(self, bases: int) -> str:
        """A number of bases in this unit, without it."""
        return f"{bases / self.bases:.{self._digits}f}"

    def rate(self, bases_per_second: float) -> str:
        """A rate in this unit a second, without it."""
        return f"{bases_per_second / self.bases:.{self._rate_digits}f}"


class Progress:
    """Bases done, rate and time left: a live line on a terminal, a plain line now and then in a log file."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._begun = time.monotonic()
        self._last = self._begun
        self._live = sys.stderr.isatty()
        self._enabled = logger.isEnabledFor(logging.INFO)

    def add(self, bases: int) -> None:
        """Count bases that are done."""
        self.done += bases
        now = time.monotonic()
        finished = 0 < self.total <= self.done  # the end has a line of its own
        if (
            self._enabled
            and not finished
            and now - self._last >= (_SECONDS_BETWEEN_UPDATES if self._live else _SECONDS_BETWEEN_LINES)
        ):
            self._last = now
            self._show(self.line(now - self._begun))

    def line(self, seconds: float) -> str:
        """The progress after so many seconds as text."""
        rate = self.done / seconds if seconds > 0 else 0.0
        left = f", {_duration((self.total - self.done) / rate)} left" if rate and self.total > self.done else ""
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        unit = _Unit.of(max(self.total, self.done))
        pace = max(unit, _Unit.of(rate), key=lambda one: one.bases)
        return (
            f"{self.what}: {unit.count(self.done)} of {unit.count(self.total)} {unit.word}{share}, "
            f"{pace.rate(rate)} {pace.word}/s{left}"
        )

    def _show(self, line: str) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            logger.info(line)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._live and self._enabled:
            sys.stderr.write("\r\x1b[K")
        if kind is None:
            logger.info(self.line(time.monotonic() - self._begun))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"
