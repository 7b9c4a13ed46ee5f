from __future__ import annotations

import pytest

from swath.data import named
from swath.data.named import NAMED, SHIPPED, find_named, shipped_name, shipped_path
from swath.errors import SettingError


@pytest.mark.parametrize("known", NAMED.values(), ids=NAMED)
def test_what_is_known_of_each_set_is_whole(known):
    assert NAMED[known.name] is known
    assert len(known.sha256) == 64
    assert set(known.sha256) <= set("0123456789abcdef")
    assert known.size > 0
    assert known.urls
    assert all(url.startswith("https://") for url in known.urls)
    assert known.license
    assert known.attribution


def test_shipped_sets_are_there_and_have_facts():
    for name, whole in SHIPPED.items():
        path = shipped_path(name)
        assert path.stat().st_size <= 8 * 2**20
        assert shipped_name(path) == name
        assert whole in NAMED


def test_other_files_are_not_taken_for_shipped_ones(tmp_path):
    assert shipped_name(tmp_path / "eurosat-mini.zip") is None
    assert shipped_name(shipped_path("eurosat-mini").with_name("ATTRIBUTION.md")) is None


def test_unknown_names_list_the_known_ones():
    with pytest.raises(SettingError, match=r"no data set is named 'eurosta'.*eurosat-rgb"):
        find_named("eurosta")
    with pytest.raises(SettingError, match="shipped with swath and needs no download"):
        find_named("eurosat-mini")
    with pytest.raises(SettingError, match=r"no shipped data set is named 'x'.*eurosat-mini"):
        shipped_path("x")


def test_an_installation_without_its_data_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "_shipped_folder", lambda: tmp_path)
    with pytest.raises(SettingError, match="install swath again"):
        shipped_path("eurosat-mini")
