"""What a file is in place of what its name says: what downloads and repositories leave where a file should be."""

from __future__ import annotations

import re

SNIFFED_BYTES = 4096
_AGAIN = "download the file itself"
_CONTAINERS = {
    b"\x1f\x8b": ("gzip", "unpack it first: gunzip FILE"),
    b"BZh": ("bzip2", "unpack it first: bunzip2 FILE"),
    b"\xfd7zXZ\x00": ("xz", "unpack it first: unxz FILE"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it first: unzstd FILE"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "unpack it first"),
    b"Rar!\x1a\x07": ("RAR", "unpack it first"),
}
_TEXTS = (  # how it begins, what it is, and what to do
    (
        r"version https://git-lfs\.github\.com/spec",
        "a Git LFS pointer, not the file itself",
        "run git lfs pull in its repository",
    ),
    (
        r"(\.\./)*(\.git|/)annex/objects/",
        "a git-annex pointer, not the file itself",
        "run git annex get in its repository",
    ),
    (r"outs:.*md5:", "a DVC pointer, not the file itself", "run dvc pull in its repository"),
    (
        r"(<!--.*?-->\s*)?(<\?xml[^>]*>\s*)?<(!doctype html|html|head|body|script|title)\b",
        "a web page (HTML), such as a page to log in or of an error",
        _AGAIN,
    ),
    (r"<", "XML text of a server or a program", _AGAIN),
    (r"[{\[]", "JSON text of a server or a program", _AGAIN),
)
_PATH = re.compile(r"[ -~]*[/\\][ -~]*\.[A-Za-z0-9]{2,5}\s*")


def mistaken_content(head: bytes) -> tuple[str, str] | None:
    """What the first bytes of a file show it to be, where it is no file of numbers at all.

    Parameters
    ----------
    head : bytes
        The first :data:`SNIFFED_BYTES`, or all there are.

    Returns
    -------
    tuple of (str, str) or None
        What it is, to follow the file's name, and what to do; ``None`` if it is none of these.

    Examples
    --------
    >>> mistaken_content(b"version https://git-lfs.github.com/spec/v1\\noid sha256:ab\\nsize 9")
    ('is a Git LFS pointer, not the file itself', 'run git lfs pull in its repository')
    """
    if not head:
        return "is an empty file", _AGAIN + " again"
    for mark, (kind, fix) in _CONTAINERS.items():
        if head.startswith(mark):
            return f"is packed with {kind}", fix
    if head[257:262] == b"ustar":
        return "is a tar archive", "unpack it first: tar xf FILE"
    text = _as_text(head)
    if text is None:
        return None
    start = text.lstrip().lower()
    found = next(((what, fix) for sign, what, fix in _TEXTS if re.match(sign, start, re.DOTALL)), None)
    if found is None and _PATH.fullmatch(text):
        return "holds a path, as a link does that was copied as text", "copy the file it names"
    what, fix = found or ("text", _AGAIN)
    shown = "" if "," in what else f": {' '.join(text.split())[:60]}"
    return f"is {what}{shown}", fix


def _as_text(head: bytes) -> str | None:
    """The bytes as text if they are, in UTF-8 or in UTF-16 with a byte order mark; else None."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as error:
        if len(head) < SNIFFED_BYTES or error.start < len(head) - 4:
            return None
        text = head[: error.start].decode(encoding)  # cut in the middle of a letter
    return text if text.strip() and all(c.isprintable() or c in "\r\n\t\f\v" for c in text) else None
