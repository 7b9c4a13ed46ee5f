"""What this machine has, and what its user allows: cores, memory, a network.

Limits of what is read and run follow from these, and ``swath doctor`` shows them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from swath.errors import DataError, SettingError

OFFLINE = "SWATH_OFFLINE"
_HUB_OFFLINE = "HF_HUB_OFFLINE"
# How a control group states its limit and its use: version 2, then version 1.
_GROUP_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
_OF_GROUPS = Path("/sys/fs/cgroup")
_GROUPS = Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")
_BACKLOG = 2048  # connections that wait to be taken
_OWN = Path("/proc/self/statm")
_USUAL = 4 * 2**30  # bytes, where the system does not say
# Names of GDAL's file systems that lead to other machines, behind archives and caches too.
_REMOTE = ("vsicurl", "vsis3", "vsigs", "vsiaz", "vsiadls", "vsioss", "vsiswift", "vsiwebhdfs", "vsihdfs")


def free_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_limit() -> int:
    """Bytes of memory this process may use at most: those of the machine, or of the control group it is in."""
    return min(_stated("MemTotal") or _physical(), *(limit for limit, _ in _group_limits()))


def free_memory() -> int:
    """Bytes of memory that can still be had: those free on the machine, or in the control group."""
    free = _stated("MemAvailable") or _physical()
    return max(0, min(free, *(limit - used for limit, used in _group_limits())))


def limit_memory(more: int) -> None:
    """Let this process take so many bytes beyond what it has now, and write no core dump, where the system can."""
    try:
        import resource  # noqa: PLC0415  (Unix only)
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError, IndexError):
        now = int(_OWN.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + more,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def home_folder() -> Path:
    """The user's home; a folder that does not exist for a user without one, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def is_offline() -> bool:
    """Whether ``SWATH_OFFLINE`` or ``HF_HUB_OFFLINE`` says that nothing may be looked up on a network."""
    hub = os.environ.get(_HUB_OFFLINE, "").strip().upper() in ("1", "ON", "YES", "TRUE")
    return hub or os.environ.get(OFFLINE, "0").strip() not in ("", "0")


def go_offline() -> None:
    """Switch the network off for this process and the libraries it uses, GDAL, PROJ and the hub's client among them.

    To be called before they are imported.
    """
    os.environ[OFFLINE] = os.environ[_HUB_OFFLINE] = "1"
    os.environ["PROJ_NETWORK"] = "OFF"
    os.environ["CPL_VSIL_CURL_ALLOWED_FILENAME"] = "none"  # of all files on other machines, none exists to GDAL


def check_online(what: str, *, fix: str) -> None:
    """Refuse to look something up on a network where that is switched off.

    Raises
    ------
    DataError
        With `fix`, which says what file to give instead, as its remedy.
    """
    if is_offline():
        raise DataError(f"{what}, and the network is switched off ({OFFLINE} or {_HUB_OFFLINE})", fix=fix)


def check_local(name: str) -> None:
    """Refuse the name of a raster on another machine where the network is switched off.

    Raises
    ------
    DataError
        If `name` is one of GDAL's names for other machines, or an address.
    """
    plain = name.lower()
    if any(system in plain for system in _REMOTE) or "://" in plain:
        check_online(f"{name} is on another machine", fix="copy the file here by other means and give its local name")


def listen(host: str, port: int, *, fix: str = "choose another --port or --host") -> socket.socket:
    """A socket that listens, to be closed by the caller; port 0 takes a free one.

    Raises
    ------
    SettingError
        If the address cannot be had.
    """
    with contextlib.ExitStack() as stack:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise SettingError(f"cannot listen on {host}, port {port} ({error.strerror})", fix=fix) from error
        stack.pop_all()
    return listener


def _stated(field: str) -> int | None:
    """A line of Linux's own account of its memory, in bytes."""
    try:
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _USUAL


def _group_limits() -> list[tuple[int, int]]:
    """Limit and use, in bytes, of each control group this process is in; one without limits where there is none."""
    found = [(2**63, 0)]
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return found
    for line in lines:
        _, kinds, name = line.split(":", 2)
        if kinds not in ("", "memory") and "memory" not in kinds.split(","):
            continue
        top = _OF_GROUPS if not kinds else _OF_GROUPS / "memory"
        inner = top / name.strip("/")
        for folder in (inner, *(above for above in inner.parents if above.is_relative_to(top))):
            for limit, used in _GROUP_FILES:
                try:
                    numbers = int((folder / limit).read_text()), int((folder / used).read_text())
                except (OSError, ValueError):  # "max" is no limit
                    continue
                found.append(numbers)
    return found
