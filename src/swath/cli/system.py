"""``swath doctor`` and ``swath cache``: what this installation is made of, and what it keeps on the disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import options as opt
from swath.errors import SwathError
from swath.machine import free_cores, free_memory, is_offline, memory_limit

cache = opt.Commands("Show or clear the cache of decoded patches and downloads.")
_PACKAGES = ("numpy", "pyarrow", "pillow", "onnx", "onnxruntime", "openvino", "rasterio", "matplotlib")
_TRAINING = ("torch", "torchvision", "timm", "lightning-fabric", "huggingface-hub")
_SETTINGS = ("SWATH_CACHE", "SWATH_OFFLINE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "PROJ_DATA")


def doctor() -> object:
    """Show versions, engines, cores, caches and limits, as a block for a bug report.

    Nothing is looked up on the network, and neither names of files nor values of secrets are shown.

    Example: swath doctor > report.txt
    """
    found = _examine()
    width = max(len(name) for part in found.values() for name in part)
    for heading, part in found.items():
        typer.echo(heading)
        for name, value in part.items():
            typer.echo(f"  {name:<{width}}  {value}")
    opt.next_step("model", "check", "eurosat")
    return found


def _examine() -> dict[str, dict[str, str]]:
    import rasterio

    from swath import __version__
    from swath.data.cache import default_cache
    from swath.data.index import MAX_ROWS
    from swath.imagery.header import max_decoded
    from swath.inference import load
    from swath.model.cost import MAX_OPERATIONS, max_tensor
    from swath.model.file import shipped_models

    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "not installed"

    folder = default_cache()
    engines = {}
    for engine in ("openvino", "onnxruntime"):
        try:
            engines[engine] = load("eurosat", engine=engine).engine
        except (SwathError, ImportError, RuntimeError, OSError) as error:
            engines[engine] = f"fails: {' '.join(str(error).split())[:200]}"
    geo = {"gdal": rasterio.__gdal_version__, "proj": rasterio.__proj_version__}
    return {
        "swath": {
            "version": __version__,
            "python": f"{platform.python_version()} ({sys.implementation.name})",
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": f"{free_cores()} of {os.cpu_count()} for this process",
            "memory": f"{_size(free_memory())} free of {_size(memory_limit())} for this process",
            "network": "switched off" if is_offline() else "used where a command needs it",
        },
        "packages": {name: version(name) for name in _PACKAGES} | geo,
        "for training": {name: version(name) for name in _TRAINING},
        "engines": engines,
        "models": {"shipped": ", ".join(shipped_models())},
        "cache": {
            "files": f"{len(_cached(folder)):,}, {_size(sum(size for _, size in _cached(folder)))}",
            "free on its disk": _free(folder),
        },
        "limits": {
            "one picture, decoded": _size(max_decoded()),
            "one tensor of a model": _size(max_tensor()),
            "operations a patch": f"{MAX_OPERATIONS:.0e}",
            "rows of an index": f"{MAX_ROWS:,}",
        },
        "environment": {name: "set" if os.environ.get(name) else "not set" for name in _SETTINGS},
    }


@cache.command("info")
def cache_info() -> object:
    """Show where the cache is, and how large.

    Example: swath cache info
    """
    from swath.data.cache import default_cache

    folder = default_cache()
    files = _cached(folder)
    total = sum(size for _, size in files)
    typer.echo(f"{folder}: {len(files):,} files, {_size(total)}; {_free(folder)} free on its disk")
    opt.next_step(*(("cache", "clear") if files else ("doctor",)))
    return {"folder": folder, "files": len(files), "bytes": total}


@cache.command("clear")
def cache_clear(
    keep: Annotated[
        bool,
        typer.Option(
            "--keep-downloads", help="Keep downloads and paid answers; decoded patches are made again offline."
        ),
    ] = False,
) -> object:
    """Remove what is in the cache; all of it can be made or downloaded again.

    Example: swath cache clear --keep-downloads
    """
    from swath.data.cache import default_cache

    removed, freed = 0, 0
    folder = default_cache()
    for path, size in _cached(folder):
        if keep and path.relative_to(folder).parts[0] in ("weights", "opinions"):
            continue
        path.unlink(missing_ok=True)
        removed, freed = removed + 1, freed + size
    typer.echo(f"{folder}: {removed:,} files removed, {_size(freed)}")
    opt.next_step("cache", "info")
    return {"folder": folder, "files": removed, "bytes": freed}


def _cached(folder: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()]


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.4g} {unit}"
        count /= 1024
    return f"{count:,.4g} GiB"


def _free(folder: Path) -> str:
    place: Any = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    return _size(shutil.disk_usage(place).free)
