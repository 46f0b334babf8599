"""What a log-density answered, on disk: a fit that was stopped goes on where it was, to the same bytes.

A line that says what the file is; then one per answer: the hash of what was asked, numbers in hexadecimal (every bit of
them), and a hash of the line, so that one that was torn does not count. Lines are only added, each by one write: fits
may share a file.

What was asked is which target, a value or a gradient, and where, to the last bit. A target is known by what it answers
at one place that is nowhere special: with other data, another model or prior, another version or processor some bit of
log p or its gradient is another there.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from buurtsae import __version__
from buurtsae.engines.search import Target
from buurtsae.errors import DataError, cut
from buurtsae.folder.failures import shortened
from buurtsae.sparse import Floats, Ints

HEAD = b"# What a fit by buurtsae weighed, until it is finished\n"
PLACE = 0.3  # prior standard deviations: how far from the middle a target is asked who it is


@dataclass
class Checkpoint:
    """Answers in a file, those of an earlier process among them.

    Attributes
    ----------
    path : Path
        Made with the first answer.
    failure : OSError, optional
        Why no more is kept: a full disk is no reason to stop a fit.
    """

    path: Path
    failure: OSError | None = None
    _known: dict[str, Floats] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _begun: bool = False

    @classmethod
    def at(cls, path: str | Path) -> Checkpoint:
        """Return what a file has, or will have.

        Raises
        ------
        DataError
            If it is another file, to which nothing is added.
        """
        checkpoint = cls(Path(path))
        try:
            text = checkpoint.path.read_bytes()
        except FileNotFoundError:
            return checkpoint
        except OSError as error:
            checkpoint.failure = error
            return checkpoint
        except ValueError as error:  # a NUL in its name
            raise _another(path, str(error)) from error
        if not HEAD.startswith(text[: len(HEAD)]):  # less of it was torn
            raise _another(path, cut(repr(text[: len(HEAD)])))
        for line in text.decode("ascii", errors="replace").splitlines():
            body, _, check = line.rpartition(" ")
            if body and check == _hash(body.encode()):
                key, *numbers = body.split(" ")
                checkpoint._known[key] = np.array([float.fromhex(number) for number in numbers])
        return checkpoint

    def answer(self, key: str, ask: Callable[[], Floats]) -> Floats:
        """Return what is known under a key; else ask, and keep that."""
        if (known := self._known.get(key)) is not None:
            return known
        found = ask()
        body = " ".join([key, *map(float.hex, found.tolist())])
        with self._lock:
            self._known[key] = found
            self._write(f"{body} {_hash(body.encode())}\n")
        return found

    def _write(self, text: str) -> None:
        if self.failure is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                if not self._begun:  # on a line of its own, whatever was torn
                    text = f"{HEAD[file.tell() :].decode()}\n{text}"
                file.write(text.encode("ascii"))
            self._begun = True
        except OSError as error:
            self.failure = error


class CheckpointWarning(UserWarning):
    """What was weighed is not kept."""


@contextmanager
def keeping(path: Path | None) -> Iterator[Checkpoint | None]:
    """Yield what a file has, or will have; warn in the end if it could not be kept there."""
    checkpoint = None if path is None else Checkpoint.at(path)
    yield checkpoint
    if checkpoint is not None and (failure := checkpoint.failure) is not None:
        what = f"what was weighed could not be kept, so that this fit, if stopped, would have begun anew: {failure}"
        warnings.warn(what, CheckpointWarning, stacklevel=4)


@dataclass(frozen=True)
class Remembered:
    """A target whose answers are kept."""

    target: Target
    checkpoint: Checkpoint

    def __getattr__(self, name: str) -> Any:
        """Return what else a target knows: where to start, bounds."""
        return getattr(object.__getattribute__(self, "target"), name)

    @property
    def size(self) -> int:
        """That of the target."""
        return self.target.size

    @property
    def exact_gradient(self) -> bool:
        """That of the target."""
        return self.target.exact_gradient

    @property
    def vanishing(self) -> Sequence[tuple[int, Ints]]:
        """That of the target."""
        return self.target.vanishing

    @cached_property
    def name(self) -> str:
        """What tells it from all others."""
        xi = PLACE * np.cos(1.0 + np.arange(self.size))
        value, gradient = self.target.with_gradient(xi)
        return _hash(repr((__version__, np.__version__, scipy.__version__, value)).encode(), gradient.tobytes())

    def key(self, kind: str, xi: Floats) -> str:
        """What an answer is kept under."""
        return _hash(self.name.encode(), kind.encode(), xi.tobytes())

    def log_posterior(self, xi: Floats) -> float:
        """Return log p(xi | y) up to a constant."""
        return self.value(xi, lambda: self.target.log_posterior(xi))

    def value(self, xi: Floats, ask: Callable[[], float]) -> float:
        """Return log p(xi | y), by `ask` if it is not known."""
        return float(self.checkpoint.answer(self.key("value", xi), lambda: np.array([ask()]))[0])

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) up to a constant, and its gradient."""
        both = self.checkpoint.answer(self.key("gradient", xi), lambda: np.hstack(self.target.with_gradient(xi)))
        return float(both[0]), both[1:]


def _another(path: str | Path, got: str) -> DataError:
    what, hint = f"{shortened(str(path))} is no checkpoint", "remove it, or choose another name"
    return DataError(what, got, "what a fit wrote, or no file", hint)


def _hash(*parts: bytes) -> str:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()
