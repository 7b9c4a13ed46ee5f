"""Which patches a model has seen: compact salted codes of their pixels, kept in its record.

A code has 56 bits. The first 44 are signs of random projections of the patch's coarse cosine coefficients: a copy that
was compressed again, resized or brightened differs in a few of them. The last 12 are of a hash of the pixels. All 56
are equal for equal pixels only, whatever the file, its format, name and label: of 20,000 patches none is taken for one
of 20,000 others by chance. Projections and hash depend on the record's salt, so that codes of two models cannot be
compared, nor looked up in a table made once for all. Everything is computed in whole numbers: a code is the same on
every machine.

Sorted, and each kept as its difference from the one before, codes take 7.4 bytes a patch in the record. How many copies
are found, and how many other patches are taken for one: ``benchmarks/seen_patches.py``.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from swath.config import Settings
from swath.imagery import resize
from swath.model.ood import MAX_BYTES, pack_bytes, unpack_bytes

SIGNS, CHECK = 44, 12  # bits of a code
REACH = 3  # signs that may differ between a patch and its copy
MAX_PATCHES = MAX_BYTES // 8
_WAVES = 10  # cosine coefficients along rows and columns
_SIDE = 64  # pixels; larger patches are brought near this side first
_UNIT = 16  # parts of a gray level that are still counted in 8-bit patches
_FLAT = 2 * _UNIT  # range of gray below which signs would be those of noise
_BLOCK = 512
Codes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


class PatchCodes(Settings):
    """Codes of `n` different patches, ascending; each as its difference from the one before."""

    n: int = Field(ge=0, le=MAX_PATCHES)
    codes: str = Field(
        default="", description="zlib-compressed differences, eight planes of bytes, lowest first; base64"
    )

    @classmethod
    def pack(cls, codes: Codes) -> PatchCodes:
        """Store codes ``[N]``; equal ones once."""
        kept = np.unique(codes)
        steps = np.diff(kept, prepend=np.uint64(0)).astype("<u8")
        planes = steps.view(np.uint8).reshape(-1, 8).T
        return cls(n=len(kept), codes=pack_bytes(planes) if len(kept) else "")

    def unpack(self) -> Codes:
        """Give the codes back, ``[n]``, ascending.

        Raises
        ------
        ValueError
            If the stored bytes are damaged or larger than they say.
        """
        if not self.n:
            return np.empty(0, np.uint64)
        planes = unpack_bytes(self.codes, (8, self.n), np.dtype(np.uint8), what="codes of seen patches")
        steps = np.ascontiguousarray(planes.T).view("<u8").ravel().astype(np.uint64)
        codes = np.cumsum(steps, dtype=np.uint64)
        if (
            (steps[1:] == 0).any()
            or (steps >> np.uint64(SIGNS + CHECK)).any()
            or (np.diff(codes.view(np.int64)) < 0).any()
        ):
            raise ValueError("codes of seen patches are damaged (they do not rise)")
        return codes


class SeenPatches(Settings):
    """Patches a model has seen, as decoded with `bands` and resized to `size` pixels.

    Attributes
    ----------
    salt : str
        Hexadecimal; of projections and hashes.
    bands : tuple of str
        In order.
    size : int
        Side in pixels.
    train, val : PatchCodes
        Patches that it learned from, and other patches that chose or calibrated it.
    """

    salt: str = Field(pattern=r"^[0-9a-f]{32}$", description="of projections and hashes, hexadecimal")
    bands: tuple[str, ...] = Field(min_length=1)
    size: int = Field(ge=1, le=4096)
    train: PatchCodes = Field(description="patches it learned from")
    val: PatchCodes = Field(description="other patches, by which it was chosen or calibrated")

    def check(self) -> None:
        """Raise ValueError if the stored codes are damaged."""
        self.train.unpack()
        self.val.unpack()


Seen = Annotated[
    tuple[SeenPatches, ...],
    Field(
        max_length=16,
        description="salted codes of the patches it learned from and was chosen by, its own and those of the weights "
        "it started from; empty where that is not known",
    ),
]


def patch_codes(pixels: npt.NDArray[Any], *, salt: str, size: int) -> Codes:
    """Codes of patches.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, uint8 or uint16; resized to `size` if they have another.
    salt : str
        Hexadecimal.
    size : int
        Side in pixels.

    Returns
    -------
    numpy.ndarray
        ``[N]`` uint64.
    """
    codes = np.empty(len(pixels), np.uint64)
    for start in range(0, len(pixels), _BLOCK):
        part = slice(start, start + _BLOCK)
        codes[part] = _codes(np.ascontiguousarray(resize(np.asarray(pixels[part]), size)), bytes.fromhex(salt))
    return codes


def with_seen(
    before: Sequence[SeenPatches],
    *,
    bands: Sequence[str],
    train: npt.NDArray[Any] | None = None,
    val: npt.NDArray[Any] | None = None,
    size: int,
    salt: str,
) -> tuple[SeenPatches, ...]:
    """Add patches to those a model has seen.

    Parameters
    ----------
    before : sequence of SeenPatches
        Of the weights that training started from, or of the model that is calibrated again; may be empty.
    bands : sequence of str
        Of the patches.
    train, val : numpy.ndarray, optional
        ``[N, bands, H, W]``, patches that were learned from, and patches that chose or calibrated.
    size : int
        The model's patch size in pixels.
    salt : str
        32 hexadecimal digits, for a first entry; see :func:`salt_of`.

    Returns
    -------
    tuple of SeenPatches
        One entry for each kind of input, so one in all where the start had the same.
    """
    own = next((s for s in before if s.bands == tuple(bands) and s.size == size), None)
    salt = own.salt if own else salt
    learned, chosen = (
        np.concatenate(
            [
                kept.unpack() if kept else np.empty(0, np.uint64),
                np.empty(0, np.uint64) if pixels is None else patch_codes(pixels, salt=salt, size=size),
            ]
        )
        for kept, pixels in ((own.train if own else None, train), (own.val if own else None, val))
    )
    made = SeenPatches(
        salt=salt,
        bands=tuple(bands),
        size=size,
        train=PatchCodes.pack(learned),
        val=PatchCodes.pack(chosen[~np.isin(chosen, learned)]),
    )
    return (made, *(s for s in before if s is not own))


def salt_of(identity: str) -> str:
    """A salt for a run, so that the same run gives the same file."""
    return hashlib.sha256(b"seen patches of " + identity.encode()).hexdigest()[:32]


def find_seen(seen: SeenPatches, pixels: npt.NDArray[Any]) -> tuple[Mask, Mask, Mask]:
    """Which patches a model has seen.

    Parameters
    ----------
    seen : SeenPatches
        What it has seen.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, with the bands of `seen`.

    Returns
    -------
    tuple of numpy.ndarray
        Three times ``[N]`` bool: patches it learned from; patches that chose or calibrated it; and others that look
        like one of these. No patch is in two of them.

    Raises
    ------
    ValueError
        If the stored codes are damaged.
    """
    train, val = seen.train.unpack(), seen.val.unpack()
    codes = patch_codes(pixels, salt=seen.salt, size=seen.size)
    learned = np.isin(codes, train)
    chose = np.isin(codes, val) & ~learned
    similar = np.zeros(len(codes), bool)
    rest = np.flatnonzero(~learned & ~chose)
    similar[rest] = _near(codes[rest], np.concatenate([train, val]))
    return learned, chose, similar


def _near(codes: Codes, kept: Codes) -> Mask:
    """Which codes differ from some kept one in at most :data:`REACH` signs."""
    near = np.zeros(len(codes), bool)
    if not len(kept):
        return near
    others = _as_signs(kept)
    for start in range(0, len(codes), _BLOCK):
        part = slice(start, start + _BLOCK)
        # Of plus and minus ones the product is the number of equal signs less that of others, exactly.
        best = np.full(len(codes[part]), -SIGNS, np.float32)
        for block in range(0, len(others), 32 * _BLOCK):
            alike = _as_signs(codes[part]) @ others[block : block + 32 * _BLOCK].T
            np.maximum(best, alike.max(axis=1), out=best)
        near[part] = best >= SIGNS - 2 * REACH
    return near


def _as_signs(codes: Codes) -> npt.NDArray[np.float32]:
    """``[N, SIGNS]`` of -1 and 1."""
    places = np.arange(CHECK, CHECK + SIGNS, dtype=np.uint64)
    return ((codes[:, None] >> places) & np.uint64(1)).astype(np.float32) * 2 - 1


def _codes(pixels: npt.NDArray[Any], salt: bytes) -> Codes:
    """Codes of one block of patches ``[N, bands, S, S]``."""
    kind = f"{pixels.dtype.name} {pixels.shape[1:]}".encode()
    stored = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    digests = np.array(
        [
            int.from_bytes(hashlib.blake2b(patch.tobytes() + kind, key=salt, digest_size=7).digest(), "little")
            for patch in stored
        ],
        np.uint64,
    )
    gray = _gray(pixels)
    cosines = _cosines(gray.shape[-1])
    # Whole numbers below 2^53 throughout: float64 holds them exactly, whatever the order of the sums.
    coefficients = (cosines @ gray @ cosines.T) // 256
    signs = coefficients.reshape(len(gray), -1) @ _projections(salt).T > 0
    places = np.uint64(1) << np.arange(CHECK, CHECK + SIGNS, dtype=np.uint64)
    codes = (signs * places).sum(axis=1, dtype=np.uint64) | (digests & np.uint64((1 << CHECK) - 1))
    flat = np.ptp(gray.reshape(len(gray), -1), axis=1) <= (_FLAT if pixels.dtype == np.uint8 else 0)
    return np.where(flat, digests, codes)  # there is nothing in a flat patch to know a copy by


def _gray(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean of the bands in whole numbers, in blocks that leave 64 to 127 rows and columns of a larger patch."""
    n, bands, side, _ = pixels.shape
    factor = max(1, side // _SIDE)
    kept = side // factor
    total = pixels.sum(axis=1, dtype=np.int64)[:, : kept * factor, : kept * factor]
    total = total.reshape(n, kept, factor, kept, factor).sum(axis=(2, 4))
    unit = _UNIT if pixels.dtype == np.uint8 else 1
    return np.asarray(total * unit // (bands * factor * factor), np.float64)


@functools.cache
def _cosines(side: int) -> npt.NDArray[np.float64]:
    """First rows of the cosine transform in whole numbers, ``[_WAVES, side]``."""
    order, place = np.arange(_WAVES)[:, None], np.arange(side)[None]
    return np.asarray(np.rint(256 * np.cos(np.pi * (place + 0.5) * order / side)))


@functools.cache
def _projections(salt: bytes) -> npt.NDArray[np.float64]:
    """Weights of the coefficients in each sign, ``[SIGNS, _WAVES^2]``: random signs, and more for finer waves.

    Natural scenes have most of their energy in coarse waves, which would otherwise decide alone.
    """
    drawn = hashlib.shake_256(b"projections" + salt).digest((SIGNS * _WAVES * _WAVES + 7) // 8)
    signs = np.unpackbits(np.frombuffer(drawn, np.uint8))[: SIGNS * _WAVES * _WAVES].reshape(SIGNS, -1) * 2.0 - 1
    waves = np.hypot(*np.indices((_WAVES, _WAVES))).ravel()
    wanted = (waves > 0) & (waves < _WAVES)
    return np.asarray(signs * np.where(wanted, np.rint(_UNIT * waves / _WAVES), 0))
