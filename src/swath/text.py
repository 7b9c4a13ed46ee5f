"""Numbers with what they count, in the messages of every room."""

from __future__ import annotations


def counted(n: int, one: str, many: str) -> str:
    """Write a number with what it counts.

    >>> counted(1, "image is", "images are"), counted(2200, "image is", "images are")
    ('1 image is', '2,200 images are')
    """
    return f"{n:,} {one if n == 1 else many}"
