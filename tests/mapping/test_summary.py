from __future__ import annotations

from pathlib import Path

from swath.mapping import MapFiles


def test_files_are_named_after_the_map():
    files = MapFiles.next_to(Path("out/land.cover.tif"), probabilities=Path("p.tif"))
    assert [str(p) for p in files.all()] == [
        "out/land.cover.tif",
        "out/land.cover.tif.aux.xml",
        "out/land.cover.confidence.tif",
        "out/land.cover.json",
        "out/land.cover.legend.png",
        "out/land.cover.png",
        "p.tif",
    ]
