"""Maps against labeled places: what is used, what is said, and where the design comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from swath.assessment import sample_map
from swath.assessment.accuracy import assess_places, read_design, read_reference, reference_points
from swath.errors import DataError
from swath.mapping.places import LabeledPlace, Places
from swath.model.memory import Teaching, place_codes
from tests.assessment.maps import DEGREES, NAMES, labeled, land, points, save, write_map


@pytest.fixture
def map_(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", land()[0])


def sampled(map_: Path, n: int = 200, **settings: int) -> Path:
    out = map_.with_name(f"{map_.stem}-{n}.gpkg")
    sample_map(map_, out=out, n=n, overwrite=True, **settings)
    return out


@pytest.mark.parametrize("place", [None, DEGREES])
def test_all_pixels_give_the_truth(tmp_path: Path, place: object) -> None:
    """Sampled whole, a map's accuracy and areas come out as counted, in hectares on the ground and without width."""
    mapped, truth = land(24, 20)
    map_ = write_map(tmp_path / "map.tif", mapped, **({} if place is None else {"place": place}))  # type: ignore[arg-type]
    found = assess_places([map_], read_reference(labeled(sampled(map_, n=480), map_, truth)))
    valid = mapped > 0
    # Meters of a degree of longitude shrink with the cosine of latitude; near enough for shares.
    latitude = np.radians(70 - 0.2 * (np.arange(24) + 0.5))
    ground = np.ones(mapped.shape) if place is None else np.repeat(np.cos(latitude)[:, None], 20, axis=1)
    (one,) = found.maps
    assert found.n == valid.sum()
    right = ground[valid & (mapped == truth)].sum() / ground[valid].sum()
    assert one.accuracy.overall.value == pytest.approx(right, rel=1e-3)
    assert one.accuracy.overall.low == one.accuracy.overall.high
    assert one.hectares is not None
    for k, name in enumerate(NAMES[1:], start=1):
        share = ground[valid & (truth == k)].sum() / ground[valid].sum()
        assert one.accuracy.per_class[name].area.value == pytest.approx(share, rel=1e-3)
        if place is None:
            assert one.hectares[name].value == pytest.approx((valid & (truth == k)).sum() / 100, rel=2e-3)
    assert sum(area.value for area in one.hectares.values()) == pytest.approx(found.mapped_hectares)


def test_the_strata_are_the_maps_own_or_not(tmp_path: Path, map_: Path) -> None:
    mapped, truth = land()
    other = write_map(tmp_path / "other.tif", np.where(mapped == 2, 3, mapped).astype(np.uint8))
    reference = read_reference(labeled(sampled(map_), map_, truth))
    assert "Olofsson" in assess_places([map_], reference).maps[0].strata
    assert "Stehman" in assess_places([other], reference).maps[0].strata
    both = assess_places([map_, other], reference)
    assert [one.map for one in both.maps] == ["map.tif", "other.tif"]
    (pair,) = both.differences
    overall = [one.accuracy.overall.value for one in both.maps]
    assert pair.difference.overall.value == pytest.approx(overall[0] - overall[1])
    # Areas are of the ground, not of a map: both maps give the same.
    assert both.maps[0].hectares is not None
    assert both.maps[1].hectares is not None
    for name, area in both.maps[0].hectares.items():
        assert both.maps[1].hectares[name].value == pytest.approx(area.value)


def test_places_that_are_not_used_are_counted(tmp_path: Path, map_: Path) -> None:
    mapped, truth = land()
    holed = mapped.copy()
    holed[:, :10] = 0
    other = write_map(tmp_path / "holed.tif", holed[:50])
    places = read_reference(labeled(sampled(map_), map_, truth))
    rows = [replace(row, label=None if k < 7 else row.label) for k, row in enumerate(places.rows)]
    found = assess_places([map_, other], replace(places, rows=tuple(rows)))
    assert found.n + sum(found.left_out.values()) == 200
    assert found.left_out["without a label"] <= 7
    assert found.left_out["on nodata of holed.tif"] > 5
    assert found.left_out["outside holed.tif"] > 10
    assert "not used: " in "\n".join(found.lines())
    # The ground they stood for is out, too.
    assert found.mapped_hectares is not None
    assert found.mapped_hectares / (mapped > 0).sum() * 100 == pytest.approx(50 * 70 / 4800, rel=0.12)


def test_points_of_nobodys_design_give_no_areas(map_: Path) -> None:
    mapped, truth = land()
    random = np.random.default_rng(0)
    at = [(int(r), int(c)) for r, c in random.integers(0, (60, 80), (150, 2))]
    xy = [(600_005.0 + 10 * c, 5_399_995.0 - 10 * r) for r, c in at]
    found = assess_places([map_], points(xy, [NAMES[truth[place]] for place in at]))
    (one,) = found.maps
    assert found.design == "random sample assumed"
    assert found.mapped_hectares is one.hectares is None
    assert "do not say how they were drawn" in " ".join(found.notes)
    assert "ha" not in "\n".join(found.lines()).split("note")[0].split()
    used = [place for place in dict.fromkeys(at) if mapped[place]]
    right = np.mean([mapped[place] == truth[place] for place in used])
    assert one.accuracy.overall.value == pytest.approx(right)


def test_one_place_of_a_class_that_is_mapped_nowhere_has_no_interval_of_no_width(tmp_path: Path) -> None:
    mapped = np.ones((60, 80), np.uint8)
    mapped[:3], mapped[3:6] = 2, 3
    map_ = write_map(tmp_path / "few.tif", mapped)
    xy = [(600_005.0 + 10 * k, 5_399_005.0 + 400) for k in range(20)]
    table = assess_places([map_], points(xy, ["Forest"] * 19 + ["River"])).lines()
    river = next(line for line in table if line.startswith("River"))
    assert "0 (0\u201379)" in river, "nobody looked where the map shows a river"
    # All strata have places: that the map shows none is known, and no estimate.
    mapped[:3] = 1
    map_ = write_map(tmp_path / "none.tif", mapped)
    truth = mapped.copy()
    reference = read_reference(labeled(sampled(map_), map_, truth))
    rows = [replace(row, label="River") if k == 0 else row for k, row in enumerate(reference.rows)]
    found = assess_places([map_], replace(reference, rows=tuple(rows)))
    river = next(line for line in found.lines() if line.startswith("River"))
    assert "(0\u20130)" not in river
    assert any(note.startswith("none.tif shows no 'River'") for note in found.notes)


def test_places_that_taught_the_model_are_refused(map_: Path) -> None:
    """In whatever reference system they come back, and if only one of them did."""
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    one = Teaching(
        began_from="eurosat",
        sha256="0" * 64,
        places={"Forest": 1},
        strength=1.0,
        salt="1" * 32,
        codes=place_codes(places.lonlat[5:6], salt="1" * 32),
    )
    record = {"model": {"taught": [one.model_dump(mode="json")]}}
    map_.with_suffix(".json").write_text(json.dumps(record))
    for same in (places, places.to_crs("EPSG:3035")):
        with pytest.raises(DataError, match=r"1 place of .* taught the model of map\.tif.*swath sample"):
            assess_places([map_], same)
    others = replace(places, rows=places.rows[:5] + places.rows[6:])
    assert assess_places([map_], others).n == 199


def test_a_map_of_swath_without_its_record_is_said(map_: Path) -> None:
    _, truth = land()
    reference = read_reference(labeled(sampled(map_), map_, truth))
    assert not any("unknown" in note for note in assess_places([map_], reference).notes)
    with rasterio.open(map_, "r+") as dataset:
        dataset.update_tags(SWATH_MODEL_SHA256="0" * 64)
    assert any("map.json" in note and "unknown" in note for note in assess_places([map_], reference).notes)
    map_.with_suffix(".json").write_text('{"model": {"taught": [{"codes": 1}]}}')
    assert any("damaged" in note for note in assess_places([map_], reference).notes)
    map_.with_suffix(".json").write_text('{"model": {"taught": []}}')
    assert not any("unknown" in note for note in assess_places([map_], reference).notes)


def test_a_class_the_map_does_not_have_is_an_error_of_the_map(map_: Path) -> None:
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    rows = tuple(replace(row, label="Desert" if k < 20 else row.label) for k, row in enumerate(places.rows))
    found = assess_places([map_], replace(places, rows=rows))
    plain = assess_places([map_], places)
    assert found.maps[0].accuracy.overall.value < plain.maps[0].accuracy.overall.value
    assert found.maps[0].accuracy.per_class["Desert"].producers.value == 0
    assert found.maps[0].accuracy.per_class["Desert"].area.value > 0
    assert "'Desert'" in " ".join(found.notes)


def test_spelling_is_forgiven_and_said(map_: Path) -> None:
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    rows = tuple(replace(row, label=str(row.label).upper()) for row in places.rows)
    found = assess_places([map_], replace(places, rows=rows))
    assert found.maps[0].accuracy == assess_places([map_], places).maps[0].accuracy
    assert "'FOREST' was read as the class 'Forest'" in found.notes


def test_groups_join_classes(map_: Path) -> None:
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    groups = {"Forest": "green", "River": "other", "Town": "other"}
    found = assess_places([map_], places, groups=groups)
    assert list(found.maps[0].accuracy.per_class) == ["green", "other"]
    assert found.maps[0].accuracy.overall.value >= assess_places([map_], places).maps[0].accuracy.overall.value
    partly = assess_places([map_], places, groups={"Forest": "green", "River": "water"})
    assert partly.left_out["in no group of the legend"] > 0


def test_coordinates_of_another_system_find_the_same_pixels(map_: Path) -> None:
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    found = assess_places([map_], places.to_crs("EPSG:4326"))
    assert found.maps == assess_places([map_], places).maps


def test_a_design_survives_a_table(tmp_path: Path, map_: Path) -> None:
    """Exported as CSV all columns are text."""
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    names = [name for name in places.rows[0].attributes if name != "fid"]
    lines = [",".join(["x", "y", "reference", *names])]
    for row in places.rows:
        cells = [*row.geometry["coordinates"], row.label, *(row.attributes[name] for name in names)]
        lines.append(",".join(map(str, cells)))
    (tmp_path / "places.csv").write_text("\n".join(lines))
    found = assess_places([map_], read_reference(tmp_path / "places.csv", crs="EPSG:32632"))
    assert found.design == "stratified random sample"
    assert found.maps == assess_places([map_], places).maps


def test_a_lost_stratum_is_said(map_: Path) -> None:
    _, truth = land()
    places = read_reference(labeled(sampled(map_), map_, truth))
    rows = tuple(row for row in places.rows if row.attributes["stratum"] != "River")
    found = assess_places([map_], replace(places, rows=rows))
    assert any("without a labeled place" in note for note in found.notes)
    emptied = tuple(replace(row, label=None) if row.attributes["stratum"] == "River" else row for row in places.rows)
    found = assess_places([map_], replace(places, rows=emptied))
    assert any("10 % of the sampled ground" in note or "11 % of the sampled ground" in note for note in found.notes)


def test_two_labels_on_one_pixel(map_: Path) -> None:
    xy = [(600_105.0, 5_399_895.0), (600_106.0, 5_399_896.0), (600_305.0, 5_399_705.0)]
    with pytest.raises(DataError, match=r"two places on one pixel .*'Forest' and 'River'"):
        assess_places([map_], points(xy, ["Forest", "River", "Town"]))
    assert assess_places([map_], points(xy, ["Forest", "Forest", "Town"])).left_out == {
        "on the pixel of another place": 1
    }


def test_polygons_count_by_a_pixel_inside_them(tmp_path: Path) -> None:
    """A ring around a town: its middle is not the ring."""
    values = np.full((30, 30), 1, np.uint8)
    values[10:20, 10:20] = 3
    map_ = write_map(tmp_path / "map.tif", values)

    def box(low: float, high: float) -> list[list[float]]:
        corners = [(low, low), (high, low), (high, high), (low, high), (low, low)]
        return [[600_000 + 10 * x, 5_400_000 - 10 * y] for x, y in corners]

    ring = LabeledPlace({"type": "Polygon", "coordinates": [box(2, 28), box(9, 21)]}, "Forest", "ring")
    town = LabeledPlace({"type": "MultiPolygon", "coordinates": [[box(12, 18)]]}, "Town", "town")
    base = points([(600_005.0, 5_399_995.0)], ["Forest"])
    found = assess_places([map_], replace(base, rows=(*base.rows, ring, town)))
    assert found.maps[0].accuracy.overall.value == 1
    assert found.n == 3


@given(st.lists(st.floats(0.05, 1), min_size=3, max_size=30), st.integers(0, 2**32 - 1))
def test_the_point_of_a_polygon_is_inside_it(radii: list[float], seed: int) -> None:
    """Stars of any number of points, on a grid of coordinates as well, where corners share their latitude."""
    turns = np.sort(np.random.default_rng(seed).random(len(radii))) * 2 * np.pi
    corners = np.stack([radii * np.cos(turns), radii * np.sin(turns)], axis=1) * 100
    for ring in (corners, np.round(corners / 20)):
        closed = np.concatenate([ring, ring[:1]])
        area = np.sum(closed[:-1, 0] * closed[1:, 1] - closed[1:, 0] * closed[:-1, 1]) / 2
        if abs(area) < 1e-6:
            continue
        places = points([(0.0, 0.0)], ["Forest"])
        row = replace(places.rows[0], geometry={"type": "Polygon", "coordinates": [ring.tolist()]})
        x, y = reference_points(replace(places, rows=(row,)))[0]
        meets = (closed[:-1, 1] <= y) != (closed[1:, 1] <= y)
        (x1, y1), (x2, y2) = closed[:-1][meets].T, closed[1:][meets].T
        assert (x1 + (y - y1) / (y2 - y1) * (x2 - x1) > x).sum() % 2 == 1


@pytest.mark.parametrize(
    ("labels", "words"), [([None, None], "2 without a label"), (["Forest", "Forest"], "outside map.tif")]
)
def test_nothing_to_compare_is_an_error_that_says_why(map_: Path, labels: list[str | None], words: str) -> None:
    inside = [(600_105.0, 5_399_895.0), (600_205.0, 5_399_795.0)]
    outside = [(100_000.0, 100_000.0), (100_100.0, 100_000.0)]
    with pytest.raises(DataError, match=words):
        assess_places([map_], points(inside if labels[0] is None else outside, labels))


def test_designs_that_contradict_themselves() -> None:
    xy = [(0.0, 0.0), (1.0, 1.0)]

    def rows(**columns: list[object]) -> tuple[LabeledPlace, ...]:
        return points(xy, ["a", "b"], **columns).rows

    assert read_design(rows()) is None
    assert read_design(rows(stratum=["", None], stratum_ha=["", None])) is None
    with pytest.raises(DataError, match="row 1 has no 'stratum'"):
        read_design(rows(stratum=["x", ""], stratum_ha=[1.0, None]))
    with pytest.raises(DataError, match="different sizes"):
        read_design(rows(stratum=["x", "x"], stratum_ha=[1.0, 2.0]))
    design = read_design(rows(stratum=["x", "y"], stratum_ha=["1.5", 2]))
    assert design is not None
    assert design.hectares.tolist() == [1.5, 2]
    assert design.pixels is design.weights is None


def test_the_column_reference_or_the_one_called_like_a_class(tmp_path: Path) -> None:
    rows = "lon,lat,{}\n9,48,Forest\n"
    (tmp_path / "a.csv").write_text(rows.format("class"))
    (tmp_path / "b.csv").write_text(rows.format("reference"))
    (tmp_path / "c.csv").write_text(rows.format("landcover_2020"))
    assert read_reference(tmp_path / "a.csv").counts == read_reference(tmp_path / "b.csv").counts == {"Forest": 1}
    with pytest.raises(DataError, match="--label-field"):
        read_reference(tmp_path / "c.csv")
    assert read_reference(tmp_path / "c.csv", label_field="landcover_2020").counts == {"Forest": 1}


def test_maps_without_names_are_known_by_their_values(tmp_path: Path) -> None:
    mapped, truth = land()
    map_ = write_map(tmp_path / "map.tif", mapped, names=None)
    places: Places = read_reference(labeled(sampled(map_), map_, truth, names=("0", "1", "2", "3")))
    assert list(assess_places([map_], places).maps[0].accuracy.per_class) == ["1", "2", "3"]
    save(tmp_path / "named.gpkg", places)


@pytest.mark.slow
def test_intervals_of_the_whole_chain_hold(tmp_path: Path) -> None:
    """Sampled, labeled and assessed 50 times, on one map whose truth is known."""
    mapped, truth = land(120, 150, seed=3)
    map_ = write_map(tmp_path / "map.tif", mapped)
    valid = mapped > 0
    right = float((mapped == truth)[valid].mean())
    hits = []
    for seed in range(50):
        sample_map(map_, out=tmp_path / "p.gpkg", n=200, per_class=50, seed=seed, overwrite=True)
        places = read_reference(labeled(tmp_path / "p.gpkg", map_, truth))
        found = assess_places([map_], places).maps[0]
        assert found.hectares is not None
        areas = [found.hectares[name] for name in NAMES[1:]]
        truths = [float((truth[valid] == k).sum()) / 100 for k in (1, 2, 3)]
        hits.append(
            [
                found.accuracy.overall.low <= right <= found.accuracy.overall.high,
                *(a.low * 0.998 <= t <= a.high * 1.002 for a, t in zip(areas, truths, strict=True)),
            ]
        )
    assert (np.mean(hits, axis=0) > 0.85).all()
    assert np.mean(hits) > 0.9
