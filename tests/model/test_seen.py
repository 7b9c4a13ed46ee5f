"""Codes of seen patches: equal for equal pixels, near for copies, compact, and checked when they are read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swath.imagery import RGB
from swath.model.seen import SIGNS, PatchCodes, SeenPatches, find_seen, patch_codes, salt_of, with_seen
from tests.tiny import CLASSES, patches

SALT = salt_of("a run")


def drawn(n: int, *, seed: int = 0) -> np.ndarray:
    """Textured patches uint8 ``[N, 3, 64, 64]``, `n` of each class."""
    return np.concatenate([patches(label, n, seed=seed) for label in CLASSES])


def seen(train: np.ndarray, val: np.ndarray | None = None, *, size: int = 64) -> SeenPatches:
    (made,) = with_seen((), bands=RGB, train=train, val=val, size=size, salt=SALT)
    return made


def jpeg(patch: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(patch.transpose(1, 2, 0)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream)).transpose(2, 0, 1)


def resized(patch: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(patch.transpose(1, 2, 0)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def counts(found: tuple[np.ndarray, ...]) -> tuple[int, ...]:
    return tuple(int(mask.sum()) for mask in found)


def test_codes_are_the_same_on_every_machine():
    ramp = np.add.outer(np.arange(3), np.add.outer(7 * np.arange(64), 3 * np.arange(64)) ** 2 // 97 % 251)
    codes = patch_codes(ramp[None].astype(np.uint8), salt="00" * 16, size=64)
    assert [f"{code:014x}" for code in codes] == ["3f7f3ab5ae6f4f"]


def test_exact_copies_are_counted_to_the_patch():
    train, val, new = drawn(40), drawn(10, seed=1), drawn(20, seed=2)
    order = np.random.default_rng(0).permutation(len(train) + len(val) + len(new))
    mixed = np.concatenate([train, val, new])[order]
    learned, chose, similar = find_seen(seen(train, val), mixed)
    assert (learned == (order < len(train))).all()
    assert (chose == ((order >= len(train)) & (order < len(train) + len(val)))).all()
    assert not similar.any()


def test_one_pixel_makes_another_patch():
    train = drawn(5)
    other = train.copy()
    other[:, 0, 0, 0] ^= 1
    assert counts(find_seen(seen(train), other)) == (0, 0, len(train))


@pytest.mark.parametrize(
    "copy",
    [
        lambda p: jpeg(p, 95),
        lambda p: jpeg(p, 75),
        lambda p: resized(p, 56),
        lambda p: np.clip(p * 1.1 + 5, 0, 255).astype(np.uint8),
    ],
    ids=["JPEG 95", "JPEG 75", "resized", "brightened"],
)
def test_copies_look_like_what_was_seen_and_others_do_not(copy):
    train = drawn(50)
    _, _, similar = find_seen(seen(train), np.stack([copy(p) for p in train]))
    assert similar.mean() >= 0.95
    assert sum(counts(find_seen(seen(train), np.stack([copy(p) for p in drawn(50, seed=1)])))) <= 2


def test_flat_patches_are_told_apart_by_their_color_alone():
    flat = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 3, 64, 64))
    assert counts(find_seen(seen(flat[:100]), flat)) == (100, 0, 0)


def test_other_sizes_are_brought_to_the_models():
    large = np.kron(drawn(5), np.ones((1, 1, 2, 2), np.uint8)).astype(np.uint8)
    assert counts(find_seen(seen(large, size=48), large)) == (len(large), 0, 0)
    wide = (large.astype(np.uint16) << 4)[:, :1]
    (made,) = with_seen((), bands=("nir",), train=wide, size=128, salt=SALT)
    assert counts(find_seen(made, wide)) == (len(wide), 0, 0)


def test_codes_of_two_models_have_nothing_in_common():
    pixels = drawn(50)
    one, two = (patch_codes(pixels, salt=salt_of(name), size=64) for name in ("a", "b"))
    assert not np.isin(one, two).any()
    same = [(bin(int(a ^ b) >> 12).count("1")) for a, b in zip(one, two, strict=True)]
    assert abs(np.mean(same) - SIGNS / 2) < 4


def test_what_a_start_has_seen_is_kept_in_one_entry_or_with_other_input_in_two():
    first, second = drawn(10), drawn(10, seed=1)
    start = with_seen((), bands=RGB, train=first, size=64, salt=salt_of("start"))
    (both,) = with_seen(start, bands=RGB, train=second, val=np.concatenate([first, second]), size=64, salt=SALT)
    assert (both.train.n, both.val.n, both.salt) == (80, 0, start[0].salt)
    own, kept = with_seen(start, bands=RGB, train=second, size=32, salt=SALT)
    assert (own.train.n, own.size, kept) == (40, 32, start[0])


@given(st.lists(st.integers(0, 2**56 - 1), max_size=50))
def test_codes_come_back_as_they_were(numbers):
    packed = PatchCodes.pack(np.array(numbers, np.uint64))
    assert packed.unpack().tolist() == sorted(set(numbers))
    assert PatchCodes.model_validate_json(packed.model_dump_json()) == packed


def test_19_000_patches_take_160_kb():
    random = np.random.default_rng(0)
    codes = random.integers(0, 2**56, 19_000, dtype=np.uint64)
    made = SeenPatches(salt=SALT, bands=RGB, size=64, train=PatchCodes.pack(codes), val=PatchCodes.pack(codes[:0]))
    assert len(made.model_dump_json()) <= 160_000


@pytest.mark.parametrize(
    ("change", "message"),
    [({"codes": "!"}, "damaged"), ({"codes": ""}, "damaged|size"), ({"n": 3}, "size"), ({"n": 8_000_000}, "size")],
)
def test_damaged_codes_are_refused(change, message):
    good = PatchCodes.pack(np.array([5, 9], np.uint64))
    with pytest.raises(ValueError, match=message):
        good.model_copy(update=change).unpack()


def test_codes_that_do_not_rise_are_refused():
    from swath.model.ood import pack_bytes

    for steps in ([5, 0], [2**57, 1], [2**63, 2**63, 7]):
        planes = np.array(steps, "<u8").view(np.uint8).reshape(-1, 8).T
        with pytest.raises(ValueError, match="do not rise"):
            PatchCodes(n=len(steps), codes=pack_bytes(planes)).unpack()


def test_more_patches_than_a_record_may_hold_are_refused():
    with pytest.raises(ValueError, match="less than or equal"):
        PatchCodes(n=10**9, codes="")
