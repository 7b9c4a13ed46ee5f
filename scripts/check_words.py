"""Check the project against scripts/words.toml: python scripts/check_words.py [ROOT]; exits 1 on any hit."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).with_name("words.toml")
ROOMS = ("src", "tests", "docs", "benchmarks", "README.md", "scripts")
OWN = {"words.toml", "check_words.py", "test_words.py", "same_answers.py"}  # these name the words
# Keys that foreign weight files carry, in their own spelling.
FOREIGN = re.compile(
    r"metadata\.get\(\"(?:licence|normalisation)\"|``normalisation: mean[^`]*``|\"normalisation\": f?\"mean"
    r"|\"normalisation\": text|\"licence\": \"mit"
)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def load(path: Path = LIST) -> dict[str, dict[str, str]]:
    """Read the list: for each scope, what to say in place of each term."""
    scopes: dict[str, dict[str, str]] = defaultdict(dict)
    for word in tomllib.loads(path.read_text(encoding="utf-8"))["word"]:
        scopes[word["scope"]][word["term"]] = word["say"]
    return scopes


def files(root: Path) -> Iterator[Path]:
    """Yield the text files of the project that are checked."""
    for room in ROOMS:
        start = root / room
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            if path.suffix in {".py", ".md", ".yaml", ".j2"} and path.name not in OWN:
                yield path


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield line, node.name
        elif isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield line, node.arg


def _any(words: dict[str, str]) -> re.Pattern[str]:
    longest = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest)) or '(?!)'})(?![\w-])")


def hits(path: Path, text: str, scopes: dict[str, dict[str, str]]) -> Iterator[tuple[int, str, str]]:
    """Yield line, term and what to say instead for every hit in one file."""
    if path.suffix == ".py":
        if path.stem in scopes["module"]:
            yield 1, path.stem, scopes["module"][path.stem]
        tree = ast.parse(text)
        for line, name in _names(tree):
            for part in _PART.findall(name):
                if part.lower() in scopes["identifier"]:
                    yield line, name, scopes["identifier"][part.lower()]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name in scopes["class"]:
                yield node.lineno, node.name, scopes["class"][node.name]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in scopes["column"]:
                yield node.lineno, node.value, scopes["column"][node.value]
    words = scopes["prose"] | scopes["option"]
    regex = _any(words)
    for number, line in enumerate(FOREIGN.sub("", text).splitlines(), 1):
        for found in regex.finditer(line):
            yield number, found[0], words[found[0]]


def check(root: Path, scopes: dict[str, dict[str, str]]) -> list[str]:
    """One line a hit: file, line, the term and what to say instead."""
    return [
        f"{path.relative_to(root)}:{line}: {term!r}: say {say}"
        for path in files(root)
        for line, term, say in sorted(set(hits(path, path.read_text(encoding="utf-8"), scopes)))
    ]


def main() -> int:
    """Print every hit; 1 if there is one."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else LIST.parents[1]
    found = check(root, load())
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
