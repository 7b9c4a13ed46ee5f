"""Groups by names: what a pattern gives, and what names of published and self-made sets suggest."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from swath.data.grouping import groups_by_pattern, join_groups, suggest_pattern
from swath.errors import SettingError

CLASSES = ("AnnualCrop", "Forest", "River", "SeaLake")


@pytest.mark.parametrize(
    ("pattern", "why", "way_out"),
    [
        (r"(scene\d+", "is not a regular expression", "such as"),
        (r"scene\d+", "no parentheses", "put parentheses"),
        ("scene", "no parentheses", "put parentheses"),
        (r"(tile\d+)_", "matches none of 12 paths", "scene"),
        (r"(scene)\d", "one group, 'scene'", "capture a part that differs"),
        (r"(scene\d+_\d+)", "a group of its own", "capture the scene alone"),
    ],
)
def test_a_pattern_that_groups_nothing_is_refused_with_a_way_out(pattern, why, way_out):
    paths = [f"A/scene{n // 4}_{n}.png" for n in range(12)]
    with pytest.raises(SettingError, match="--group-by") as caught:
        groups_by_pattern(paths, pattern)
    assert why in str(caught.value)
    assert way_out in str(caught.value)


def test_a_pattern_captures_groups_and_names_what_it_misses():
    paths = ["A/s1_a1.png", "B/s1_a2.png", "B/s1_a1.png", "A/s2_a1.png", "A/other.png"]
    found = groups_by_pattern(paths, r"(s\d)_(a\d)")
    assert found.names == ("s1_a1", "s1_a2", "s1_a1", "s2_a1", None)
    assert found.note() == (
        "1 of 5 paths do not match --group-by '(s\\d)_(a\\d)' and got no group from it, the first is A/other.png"
    )


def test_groups_by_name_keep_the_groups_there_are():
    made = join_groups(["copy", None, "copy", None, None], ["s1", "s1", "s2", "s3", None])
    assert made[0] == made[1] == made[2]
    assert len({made[0], made[3], made[4]}) == 3
    assert made[4] is None


def stems(template, scenes, *, each=6, seed=0, classes=CLASSES, scramble=True):
    """Paths ``Class/name`` of patches cut from scenes, every scene showing several classes, and their labels."""
    rng = random.Random(seed)
    rows = [
        (rng.choice(classes), scene, n, rng.randrange(0, 900, 32), rng.randrange(0, 900, 32))
        for scene in scenes
        for n in range(each * len(classes))
    ]
    named = {
        f"{label}/" + template.format(label=label, s=scene, n=n, x=x, y=y): label for label, scene, n, x, y in rows
    }
    return list(named), [[label] for label in named.values()]


TILES = ("T32TQM", "T33UUP", "T31UFS", "T30TYN")
DAYS = ("20200614", "20200704", "20200811", "20210603", "20210618", "20190801")
NUMBERED = {
    "EuroSAT": "{label}_{n}{x}.jpg",
    "EuroSAT multispectral": "{label}_{n}{x}.tif",
    "UC Merced": "{label}{n:02}{x}.tif",
    "RESISC45": "{label}_{n:03}{x}.jpg",
    "AID": "{label}_{n}{x}{y}.jpg",
    "plain numbers": "{n}{x}{y}.png",
    "img": "img_{n}{x}{y}.png",
    "IMG-": "IMG-{n:04}-{x}.png",
    "row and column of one raster": "tile_{x}_{y}.png",
    "one raster by class": "{label}_{x}_{y}.png",
    "copies": "{label} ({n}{x}).jpg",
    "split names": "train_{n}{x}.jpg",
    "one day": "20200614_{n}{x}{y}.png",
    "dates of one tile": "S2A_{n}{x}_T32TQM_2020.png",
    "hashes": "{x:04x}{y:05x}{n:03x}a.png",
}


@pytest.mark.parametrize("template", NUMBERED.values(), ids=NUMBERED.keys())
def test_plain_numbers_suggest_nothing(template):
    paths, labels = stems(template, range(5))
    assert suggest_pattern(paths, labels) is None
    assert suggest_pattern([path.split("/")[1] for path in paths], labels) is None  # a list of files of one folder


@dataclass(frozen=True)
class Style:
    template: str
    scenes: tuple
    sure: bool = True


STYLES = {
    "BigEarthNet": Style("S2A_MSIL2A_20170613T101031_N9999_R022_{s}_{x}_{y}.tif", TILES),
    "Sentinel-2 tile and day": Style("{s}_20200614_{n}.png", TILES),
    "SEN12MS": Style("{s}_p{n}.tif", tuple(f"ROIs1158_spring_s2_{k}" for k in (1, 3, 15, 120))),
    "scene and offsets": Style("{s}_{x}_{y}.png", ("scene03", "scene1", "scene12")),
    "scene and number": Style("Scene-{s}_{n}.png", (901, 902, 903, 917)),
    "gdal_retile": Style("{s}_{n}_{x}.tif", ("ortho_north", "ortho_south", "lake_2")),
    "rows and columns": Style("{s}_r{x:04}_c{y:04}.tif", ("S2A_0614", "S2A_0702", "S2B_0801")),
    "rows and columns run together": Style("{s}_r{x}c{y}.tif", ("berlin", "rome", "oslo")),
    "offsets with letters": Style("{s}-x{x}-y{y}.png", ("berlin", "rome", "oslo")),
    "class in front": Style("{label}_{s}_{x}_{y}.png", ("berlin", "rome", "oslo")),
    "class of two words in front": Style("Annual_{label}_{s}_{x}_{y}.png", ("berlin", "rome", "oslo")),
    "Landsat": Style("LC08_L1TP_{s}_20200614_20200820_02_T1_{n}.tif", ("043034", "043033", "195024")),
    "place and day": Style("{s}_2020-06-14_{n}.png", ("berlin", "rome", "oslo"), sure=False),
    "days": Style("{s}_{n}.png", DAYS, sure=False),
    "stems": Style("{s}{n:03}.png", ("berlin_", "rome_", "oslo_", "bern_", "paris_"), sure=False),
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
@pytest.mark.parametrize("seed", [0, 1])
def test_names_of_scenes_suggest_a_pattern_that_keeps_each_whole(style, seed):
    paths, labels = stems(style.template, style.scenes, seed=seed, each=8)
    if "Annual_" in style.template:
        labels = [[f"Annual_{label}"] for [label] in labels]
    found = suggest_pattern(paths, labels)
    assert found is not None
    groups = groups_by_pattern(paths, found.pattern)  # what is suggested can be given
    assert None not in groups.names
    assert (found.scenes, found.sure) == (len(style.scenes), style.sure)
    scene_of = {}
    for path, group in zip(paths, groups.names, strict=True):
        scene = next(s for s in sorted(map(str, style.scenes), key=len, reverse=True) if s in path.split("/")[1])
        assert scene_of.setdefault(scene, group) == group
    assert len(set(scene_of.values())) == len(style.scenes)
    assert "--group-by" in found.sentence()


def test_folders_between_class_and_file_are_suggested():
    paths = [f"{label}/orchard{k}/{n}.png" for label in CLASSES for k in range(4) for n in range(5)]
    found = suggest_pattern(paths, [[path.split("/")[0]] for path in paths])
    assert (found.what, found.scenes, found.sure) == ("folders", 4, False)


def test_folders_of_classes_splits_or_shards_are_not_scenes():
    for folders in (("train", "val", "test"), ("fold1", "fold2", "fold3", "fold4"), ("images", "img2", "part_3")):
        paths = [f"{label}/{folder}/{n}.png" for label in CLASSES for folder in folders for n in range(9)]
        assert suggest_pattern(paths, [[path.split("/")[0]] for path in paths]) is None


def test_scenes_that_hold_one_class_each_are_no_scenes():
    paths = [f"{label}/scene{CLASSES.index(label)}_{n}_{n}.png" for label in CLASSES for n in range(20)]
    assert suggest_pattern(paths, [[path.split("/")[0]] for path in paths]) is None
