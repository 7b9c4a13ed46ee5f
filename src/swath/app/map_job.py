"""A map of one visitor, made on a thread of its own: its progress can be watched, and it can be stopped."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from swath.app.job import Job
from swath.app.settings import SCENE_PIXELS
from swath.errors import DataError
from swath.imagery.decode import probe
from swath.inference import Classifier
from swath.mapping import Map, map_scene
from swath.mapping.places import read_places, write_places
from swath.progress import Progress

_one_map = threading.Lock()  # at a time: two would each take twice as long
_WINDOWS = 64  # between two looks at whether the visitor still wants the map


class MapJob(Job[Map]):
    """A map under way, or what became of it.

    Parameters
    ----------
    classifier : Classifier
        The model.
    scene : pathlib.Path
        The scene.
    folder : pathlib.Path
        Where its files are written, all or none.
    name : str
        What the visitor calls the scene.
    stride, rescale
        As for :func:`swath.map_scene`.

    Attributes
    ----------
    scene : pathlib.Path
        The scene.
    stride, rescale
        As asked for.
    made : Map or None
        The map, once it is there.
    problem : str or None
        Why there is none, in a sentence.
    """

    waiting = "waiting for another map"
    too_large = "the map needs more memory than there is; choose a coarser detail or a smaller scene"

    def __init__(
        self,
        classifier: Classifier,
        scene: Path,
        folder: Path,
        *,
        name: str,
        stride: int | None = None,
        rescale: str = "auto",
    ) -> None:
        self.name, self.scene, self.folder, self.stride, self.rescale = name, scene, folder, stride, rescale

        def work(progress: Progress) -> Map:
            return map_scene(
                classifier,
                scene,
                out=folder / "map.tif",
                stride=stride,
                rescale=rescale,
                name=name,
                batch_size=_WINDOWS,
                progress=progress,
            )

        super().__init__(work, turn=_one_map)

    def remove(self) -> None:
        """Stop it, and remove its folder once it has ended; nobody waits for that."""
        if not self.is_running:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self.cancel()
        threading.Thread(target=self._remove_after, daemon=True).start()

    def _remove_after(self) -> None:
        self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def check_scene(scene: Path, *, name: str) -> tuple[int, int]:
    """Width and height of a scene, if it may be mapped.

    Raises
    ------
    DataError
        If it is no picture, or has more pixels than the page maps.
    """
    header = probe(scene, name=name)
    if header.width * header.height > SCENE_PIXELS:
        raise DataError(
            f"{name} has {header.width:,} x {header.height:,} pixels, and this page maps "
            f"{SCENE_PIXELS // 1_000_000} million at most",
            fix="cut a part out of it, or map it on the command line: swath map",
        )
    return header.width, header.height


def write_geopackage(made: Map, out: Path) -> Path:
    """Write the map as polygons, one per connected region of a class.

    Raises
    ------
    DataError
        If the map has no coordinates, or too many regions.
    """
    if not out.exists():
        write_places(out, read_places(made.files.classes))
    return out


def write_zip(made: Map, out: Path) -> Path:
    """Put all files of a map into one archive, for QGIS to find styles and names next to the rasters."""
    files = [path for path in (*made.files.all(), *made.files.systems()) if path.exists()]
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    return out
