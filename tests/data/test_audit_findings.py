from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from swath.data.audit import Audit, Channels, find_problems
from swath.data.duplicates import DuplicatePair

SOUND = Audit(
    name="paper",
    fingerprint="",
    patches=1000,
    classes={c: {"train": 300, "val": 100, "test": 100} for c in "AB"},
    unreadable=(),
    ignored=0,
    exact=(),
    near=(),
    shared_ground=(),
    ground_leaks=(),
    leaks=(),
    torn=(),
    contradictions=(),
    sizes={},
    modes={},
    channels=Channels((), (), (), {}, 0, 0),
    findings=(),
)
PAIR = DuplicatePair("a", "b", 1.0, 0.0)
ROWS = {"optimistic": "", "origin": "", "labels": ["A"] * 500 + ["B"] * 500, "forms": ["64 RGB"] * 1000}


def judged(**changes):
    audit = replace(SOUND, **{name: value for name, value in changes.items() if name not in (*ROWS, "sizes")})
    sizes = Counter()
    for counts in audit.classes.values():
        sizes.update({None if split == "none" else split: n for split, n in counts.items()})
    given = {"sizes": sizes, **ROWS}
    return find_problems(audit, **{name: changes.get(name, value) for name, value in given.items()})


def kinds(**changes):
    return [finding.kind for finding in judged(**changes)]


def text(**changes):
    (finding,) = judged(**changes)
    return finding.text


def test_nothing_is_said_of_sound_data():
    assert judged() == ()


def of(a, b=None):
    """Patches in splits of two classes, ``train val test none``; both the same by default."""

    def counts(text):
        named = zip(("train", "val", "test", "none"), map(int, text.split()), strict=False)
        return {split: n for split, n in named if n}

    return {"classes": {"A": counts(a), "B": counts(b or a)}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"leaks": [("a", "b")]}, "lies in more than one split, so test results are optimistic: the first is a"),
        ({"contradictions": [("a", "b")] * 2}, "2 duplicates carry different labels: the first is a = b."),
        ({"optimistic": "optimistic: all near"}, "The splits are optimistic: all near. Accuracy on new land"),
        ({"unreadable": ("a.png",)}, "1 image was left out because of damage."),
        ({"ignored": 2}, "2 files were left out for other reasons."),
        ({"exact": (("a",) * 1201,)}, "1,200 files repeat another one byte for byte."),
        ({"near": (PAIR,) * 3}, "3 pairs of patches are near duplicates."),
        (of("0 0 0 10"), "There are no splits yet"),
        (of("9 0 300"), "There is no val split"),
        (of("300 9 300", "300 0 300"), "Split 'val' has no patch of 'B': split again with swath data split --resplit."),
        (of("300 9 99"), "The test split has 198 patches"),
        (of("300 9 100 1"), "2 patches are in no split."),
        (of("500 9 150", "50 9 50"), "Classes are uneven: 'A' has 659 patches, 'B' 109"),
    ],
)  # fmt: skip
def test_each_fault_is_one_plain_sentence(changes, sentence):
    assert sentence in text(**changes)


def test_files_whose_form_tells_the_class_are_a_shortcut():
    forms = ["64 RGB"] * 500 + ["256 CMYK"] * 500
    said = text(forms=forms)
    assert "predict the class of 100 % of the patches (the largest class has 50 %)" in said


def test_mixed_forms_that_tell_nothing_are_fine():
    forms = ["64 RGB", "256 CMYK"] * 500
    assert kinds(forms=forms) == []


def test_sizes_that_are_all_different_tell_nothing():
    assert kinds(forms=[f"{n} x 64 RGB" for n in range(1000)]) == []


def test_the_most_serious_comes_first():
    assert kinds(near=(PAIR,), leaks=[("a", "b")], unreadable=("c",), contradictions=[("a", "b")]) == [
        "leak", "contradiction", "unreadable", "near",
    ]  # fmt: skip


def test_a_torn_group_is_named():
    assert text(torn=["scene-7", "scene-9"]).startswith("2 groups lie in more than one split: the first is 'scene-7'")


def test_patches_of_several_labels_are_counted_once():
    few = text(sizes={"train": 600, "val": 200, "test": 100}, labels=["A;B"] * 1000)
    assert "The test split has 100 patches" in few
