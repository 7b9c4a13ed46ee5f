"""The face of the package: its names, and what they need."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

import swath
from swath.data import shipped_path
from swath.imagery import decode

NAMES = [name for name in swath.__all__ if name != "__version__"]
SOURCE = Path(swath.__file__).parents[1]
PAGE = SOURCE.parent / "docs" / "from-python.md"
SCRIPT = Path(__file__).with_name("face_script.py")


def run_python(code: str, *, blocked: set[str] = frozenset(), cwd: Path | None = None) -> str:
    """Run code in a process of its own and give what it prints."""
    absent = f"import sys; sys.modules.update(dict.fromkeys({sorted(blocked)}))\n"  # None: there is no such module
    whole = absent + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", whole], capture_output=True, text=True, check=False, cwd=cwd, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])}


def test_every_name_is_there_and_listed():
    for name in NAMES:
        assert name in dir(swath)
        value = getattr(swath, name)
        assert value.__doc__
        assert value is getattr(importlib.import_module(value.__module__), name)
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        swath.trane  # noqa: B018


def test_importing_it_imports_no_library():
    printed = run_python(
        "import sys, swath; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    assert {"swath"} <= set(printed.split())
    assert not {"numpy", "pydantic", "rasterio", "torch", "typing_extensions"} & set(printed.split())


def test_it_is_typed():
    assert (SOURCE / "swath" / "py.typed").is_file()


def test_without_torch_everything_but_training_works(tmp_path):
    printed = run_python(
        """
        import numpy as np, rasterio, swath
        classifier = swath.load("eurosat", threads=1)
        image = np.full((64, 64, 3), (35, 70, 110), np.uint8)
        print(classifier.predict(image).labels)
        with rasterio.open("scene.tif", "w", driver="GTiff", width=128, height=64, count=3, dtype="uint8",
                           crs="EPSG:32632", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)) as file:
            file.write(np.tile(image, (1, 2, 1)).transpose(2, 0, 1))
        swath.map_scene(classifier, "scene.tif", out="map.tif", rescale="off")
        with rasterio.open("map.tif") as file:
            print(file.shape)
        for name in ("train", "Recipe", "load_recipe"):
            assert name not in dir(swath)
            try:
                getattr(swath, name)
            except ImportError as error:
                print(isinstance(error, swath.SwathError), error)
        help(swath)
        """,
        blocked={"torch", "fcntl"},
        cwd=tmp_path,
    )
    assert printed.startswith("['SeaLake']\n(64, 128)\nTrue swath.train needs the 'train' extra")
    assert printed.count("pip install '.[train]'") == 3


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = getattr(swath, name)
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=True)
    (example,) = finder.find(value, name, module=False, globs=dict(vars(sys.modules[value.__module__])))
    assert example.examples, f"the docstring of swath.{name} has no example"
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert not failed


@pytest.mark.slow
def test_the_page_from_python_runs(tmp_path, monkeypatch, capsys):
    """From folders of labeled images to a map, with the very lines of docs/from-python.md."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code.splitlines()) <= 25
    classes = ("Forest", "Residential", "SeaLake")
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(shipped_path("eurosat-mini")) as archive:
        members = [name for name in archive.namelist() if name.startswith(classes)]
        chosen = [name for label in classes for name in [m for m in members if m.startswith(label)][:60]]
        archive.extractall("patches", chosen)
        rest = [decode(archive.read(name), name=name).pixels for name in members if name not in chosen][:12]
        for name, member in (("field.jpg", members[100]), ("town.jpg", members[300])):
            Path(name).write_bytes(archive.read(member))
    scene = np.concatenate([np.concatenate(rest[row : row + 4], axis=2) for row in range(0, 12, 4)], axis=1)
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open(
        "scene.tif", "w", driver="GTiff", count=3, height=192, width=256, dtype="uint8", **place
    ) as file:
        file.write(scene)
    exec(compile(code, str(PAGE), "exec"), {})
    assert "field.jpg" in capsys.readouterr().out
    with rasterio.open("map.tif") as file:
        assert (file.shape, file.crs.to_epsg()) == ((192, 256), 32632)


@pytest.mark.slow
def test_a_strictly_typed_script_passes_mypy():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
        env=_environment() | {"MYPYPATH": str(SOURCE)},
    )
    assert done.returncode == 0, done.stdout
