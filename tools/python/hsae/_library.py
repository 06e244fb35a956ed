# SPDX-License-Identifier: MIT
"""The library in this process: its context, its errors, its log, its devices."""
from __future__ import annotations

import logging
import os
import shutil
import sysconfig
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from . import _native

ffi, lib = _native.ffi, _native.lib
_logger = logging.getLogger("hsae")
_LEVELS = {lib.HSAE_LOG_WARNING: logging.WARNING, lib.HSAE_LOG_INFO: logging.INFO, lib.HSAE_LOG_DEBUG: logging.DEBUG}


class Error(Exception):
    """Something that the library cannot do; the text says what, where, and what to do about it.

    status: the name of the status code, such as "ERROR_FILE".
    """

    status = ""


class ArgumentError(Error, ValueError):
    """An argument is not valid."""


class ConfigError(Error, ValueError):
    """The configuration is not valid."""


class FileError(Error, OSError):
    """A file cannot be read or written."""


class FormatError(Error, ValueError):
    """A file does not hold what it should."""


class DataError(Error, ValueError):
    """The activations are not usable."""


class OutOfMemory(Error, MemoryError):
    """Memory of the host or of the device does not suffice."""


class DeviceError(Error, RuntimeError):
    """There is no such device, it does not allow this, its driver failed, or it was lost."""


class Diverged(Error, ArithmeticError):
    """A number of the training is no longer finite. Go on from a checkpoint."""


_CLASSES = {
    "ERROR_ARGUMENT": ArgumentError, "ERROR_CONFIG": ConfigError, "ERROR_FILE": FileError, "ERROR_FORMAT": FormatError, "ERROR_DATA": DataError,
    "ERROR_MEMORY": OutOfMemory, "ERROR_DEVICE_MEMORY": OutOfMemory, "ERROR_NO_DEVICE": DeviceError, "ERROR_LIMIT": DeviceError,
    "ERROR_DRIVER": DeviceError, "ERROR_DEVICE_LOST": DeviceError, "ERROR_DIVERGED": Diverged,
}


def text(pointer: Any) -> str:
    return ffi.string(pointer).decode("utf-8", "replace") if pointer else ""


@ffi.def_extern()
def hsae_py_log(user: Any, level: int, message: Any) -> None:
    if level != lib.HSAE_LOG_ERROR:  # those are exceptions
        _logger.log(_LEVELS.get(level, logging.DEBUG), "%s", text(message))


def check(status: int) -> None:
    """Raises the exception that a status stands for."""
    if status == lib.HSAE_OK:
        return
    name = text(lib.hsae_status_name(status))
    error = _CLASSES.get(name, Error)(text(lib.hsae_last_error()))
    error.status = name
    raise error


def _installed() -> Optional[str]:
    """The path of the program that was installed with the package."""
    path = os.path.join(sysconfig.get_path("scripts"), "hsae" + (sysconfig.get_config_var("EXE") or ""))
    return path if os.path.exists(path) else None


def program() -> str:
    """The path of the program `hsae`: the one that was installed with the package, or the first in $PATH."""
    path = _installed() or shutil.which("hsae")
    if not path:
        raise Error("the program hsae is neither beside Python nor in $PATH; it is part of the package: install that anew, or add its folder to $PATH")
    return path


def _make_context() -> Any:
    params, out = ffi.new("hsae_context_params *"), ffi.new("hsae_context **")
    path = ffi.new("char[]", os.fsencode(_installed() or ""))
    params.log = lib.hsae_py_log
    if _installed():
        params.program = path
    check(lib.hsae_context_create(params, out))
    return out[0]


context = _make_context()
_lock = threading.Lock()
_open: Dict[Optional[str], OpenDevice] = {}


class OpenDevice:
    """A device that stays open until the process ends. One thread at a time may use it and what was made on it: `with device:`."""

    def __init__(self, name: Optional[str]) -> None:
        out = ffi.new("hsae_device **")
        check(lib.hsae_device_open(context, name.encode() if name else ffi.NULL, out))
        self.pointer = out[0]
        self.id = text(lib.hsae_device_get_info(self.pointer).id)
        self._lock, self._depth = threading.RLock(), 0
        self._dead: List[Callable[[], None]] = []

    def __enter__(self) -> OpenDevice:
        self._lock.acquire()
        self._depth += 1
        return self

    def __exit__(self, *_: Any) -> None:
        if self._depth == 1:
            self._bury()
        self._depth -= 1
        self._lock.release()

    def _bury(self) -> None:
        while self._dead:
            self._dead.pop()()

    def discard(self, destroy: Callable[[], None]) -> None:
        """Calls `destroy` when nobody uses the device: Python may drop an object at any time, in a callback of the library, too."""
        self._dead.append(destroy)
        if self._lock.acquire(blocking=False):
            if self._depth == 0:
                self._bury()
            self._lock.release()


def open_device(name: Optional[str] = None) -> OpenDevice:
    with _lock:
        if name not in _open:
            device = OpenDevice(name)
            _open[name] = _open.setdefault(device.id, device)
        return _open[name]


@dataclass(frozen=True)
class Device:
    """A device of this machine: its id ("ref", "opencl:0", "vulkan:0"), its name and driver, what kind of device it is, its memory in bytes.

    same_as: the id of the device that is the same hardware through a driver that is preferred; "" where there is none.
    """

    id: str
    name: str
    driver: str
    kind: str
    memory: int
    same_as: str


def devices() -> List[Device]:
    """All devices that can be opened, the reference ("ref": plain C on the CPU) last."""
    out, count = ffi.new("hsae_device_info **"), ffi.new("size_t *")
    check(lib.hsae_device_list(context, out, count))
    kinds = {lib.HSAE_DEVICE_CPU: "cpu", lib.HSAE_DEVICE_INTEGRATED: "integrated", lib.HSAE_DEVICE_DISCRETE: "discrete",
             lib.HSAE_DEVICE_VIRTUAL: "virtual"}
    found = [Device(text(info.id), text(info.name), text(info.driver), kinds[info.type], info.limits.memory_bytes, text(info.same_as))
             for info in (out[0][k] for k in range(count[0]))]
    lib.hsae_free(out[0])
    return found


def default_device() -> str:
    """The id of the device that is used where none is given."""
    out = ffi.new("char[32]")
    check(lib.hsae_device_default(context, out, ffi.NULL))
    return text(out)


def test_device(device: Optional[str] = None, again: bool = False) -> None:
    """Trains a small model on the device and on the reference and compares them: raises DeviceError where they differ.

    A success is remembered, so that the next call is quick, unless `again`.
    """
    with open_device(device) as opened:
        check(lib.hsae_device_test(opened.pointer, again))


def version() -> str:
    """The version of the library."""
    return text(lib.hsae_version())
