"""The rooms import one way: no file reaches itself through the files it imports."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import swath

SOURCE = Path(swath.__file__).parent


def imported_modules(file: Path, modules: set[str]) -> set[str]:
    """Modules of the package that a file names in an import, wherever: on top, inside a function or for types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # A name that is a file of a package is imported from that file; any other from its __init__.
            found |= names & modules if names <= modules else {node.module} | (names & modules)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules


def test_no_import_cycle() -> None:
    """A cycle makes the order of imports matter, and no piece of it can be read or tested by itself."""
    files = {
        ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in SOURCE.rglob("*.py")
        if file != SOURCE / "__init__.py"  # the face of all rooms, which imports them when they are used
    }
    graph = {name: imported_modules(file, set(files)) - {name} for name, file in files.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError with the cycle in it
    assert set(order) == set(files)


def test_tests_are_named_after_modules() -> None:
    """The tests of a file are found by its name: test_<module>.py or test_<module>_<subject>.py in the same room.

    What the ``__init__`` of a room holds is tested under the name of the room.
    """
    tests = Path(__file__).parent
    for file in sorted(tests.glob("*/**/test_*.py")):
        room = SOURCE / file.parent.relative_to(tests)
        modules = {room.name, *(path.stem for path in room.iterdir() if path.suffix == ".py" or path.is_dir())}
        words = file.stem.removeprefix("test_").split("_")
        beginnings = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
        assert beginnings & modules, f"{file.relative_to(tests)} is named after no module of {room.name}"
