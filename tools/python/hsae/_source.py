# SPDX-License-Identifier: MIT
"""Rows that are made while they are trained on."""
from __future__ import annotations

import os
import threading
from typing import Any, Callable, List, Optional, TypeVar

from ._library import Error, check, context, ffi, lib
from ._rows import Path, Rows

Result = TypeVar("Result")


class Source:
    """An iterable of arrays as the library's source of rows. `raised`: an exception of the iterable, which ended a run."""

    def __init__(self, data: Any, identity: Optional[str], buffer_rows: int, folder: Optional[Path]) -> None:
        self._data, self._iterator, self._position, self.stopped = data, iter(data), 0, False
        self.raised: Optional[BaseException] = None
        self._kind: Any = None
        self._part: Optional[Rows] = self._next()
        if self._part is None:
            raise Error("the iterable gives no rows")
        params, out, self._handle = ffi.new("hsae_source_params *"), ffi.new("hsae_source **"), ffi.new_handle(self)
        params.dim, params.dtype, params.user, params.read = self._part.dim, self._part.dtype, self._handle, lib.hsae_py_read
        if self._iterator is not data:
            params.seek = lib.hsae_py_seek
        texts = [ffi.new("char[]", text) if text else ffi.NULL for text in (identity and identity.encode(), folder and os.fsencode(folder))]
        params.identity, params.folder = texts
        params.buffer_rows = buffer_rows
        check(lib.hsae_source_open(context, params, out))
        self.pointer = ffi.gc(out[0], lambda source: lib.hsae_source_close(ffi.new("hsae_source **", source)))

    def _next(self) -> Optional[Rows]:
        """The next array that is not empty."""
        for array in self._iterator:
            rows = Rows(array)
            self._kind = self._kind or (rows.dim, rows.dtype)
            if (rows.dim, rows.dtype) != self._kind:
                raise TypeError(f"row {self._position} of the iterable: the arrays before have another width or type")
            if rows.count:
                return rows
        return None

    def _take(self, most: int) -> Optional[Rows]:
        """The next rows, at most so many."""
        if self._part is None:
            self._part = self._next()
        part = self._part
        if part is None:
            return None
        count = min(most, part.count)
        self._part = part.part(count, part.count - count) if count < part.count else None
        self._position += count
        return part.part(0, count)

    def _read(self, to: Any, most: int) -> int:
        rows = self._take(most)
        if rows is None:
            return 0
        ffi.memmove(to, rows.pointer, rows.array.nbytes)
        return rows.count

    def _seek(self, position: int) -> None:
        if position < self._position:
            self._iterator, self._part, self._position = iter(self._data), None, 0
        while self._position < position:
            if self._take(position - self._position) is None:
                raise Error(f"the iterable ends after {self._position} rows; row {position} is where the training goes on")

    def _guarded(self, work: Callable[[], None]) -> int:
        """CANCELLED where the run was stopped, or the iterable failed."""
        if self.stopped:
            return lib.HSAE_CANCELLED
        try:
            work()
            return lib.HSAE_OK
        except BaseException as error:
            self.raised = error
            return lib.HSAE_CANCELLED

    def run(self, call: Callable[[], Result]) -> Result:
        """What `call` returns, which reads the source. It works in another thread, so that Ctrl-C ends it also while the next rows are made."""
        results: List[Result] = []
        raised: List[BaseException] = []

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:
                raised.append(error)

        self.stopped, self.raised = False, None
        thread = threading.Thread(target=work, name="hsae")
        thread.start()
        try:
            thread.join()
        finally:
            self.stopped = True
            thread.join()
        for error in [self.raised, *raised]:
            if error is not None:
                raise error
        return results[0]


@ffi.def_extern(error=lib.HSAE_CANCELLED)
def hsae_py_read(user: Any, to: Any, most: int, got: Any) -> int:
    source = ffi.from_handle(user)

    def work() -> None:
        got[0] = source._read(to, most)

    return source._guarded(work)


@ffi.def_extern(error=lib.HSAE_CANCELLED)
def hsae_py_seek(user: Any, position: int) -> int:
    source = ffi.from_handle(user)
    return source._guarded(lambda: source._seek(position))
