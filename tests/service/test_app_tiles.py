"""Tiles over HTTP: what a web map asks for, and what it is told where there is nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import swath.service.tiles
from tests.service.servers import PATIENCE, Client, Running, running, wait_until
from tests.service.test_jobs import TIFF, ended
from tests.service.test_tiles import labels, numbers, pixels, tile_at, truth
from tests.teaching.scenes import checkerboard, write_scene

KEY = "a key of many letters"


@dataclass(frozen=True)
class Mapped:
    """A service with a map of a scene of four classes, one of a scene without coordinates, and a job that failed."""

    running: Running
    folder: Path
    map: str
    nowhere: str
    failed: str

    @property
    def client(self) -> Client:
        return self.running.client


@pytest.fixture(scope="module")
def mapped(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapped]:
    folder = tmp_path_factory.mktemp("tiles")
    board = checkerboard(("Forest", "River", "Residential"), rows=4, columns=5)
    scenes = [
        write_scene(folder / "scene.tif", board, nodata={(0, 0)}).read_bytes(),
        write_scene(
            folder / "nowhere.tif", checkerboard(("Forest", "River"), rows=1, columns=2), crs=None
        ).read_bytes(),
        b"no scene",
    ]
    with running(tiny_model, jobs=folder / "jobs") as one:
        ids = [one.client.post("/v1/map?stride=32", data, TIFF).json["id"] for data in scenes]
        states = [ended(one.client, job)["state"] for job in ids]
        assert states == ["done", "done", "failed"]
        yield Mapped(one, folder / "jobs", *ids)


def test_a_web_map_shows_the_map(mapped: Mapped):
    """From the TileJSON to a tile, whose pixels are those of the raster that the job gives."""
    said = mapped.client.get(f"/v1/maps/{mapped.map}/tilejson.json")
    assert said.status == 200, said.body
    assert said.headers["cache-control"] == "no-store"
    json = said.json
    assert set(json["colors"]) == {"Forest", "Residential", "River", "SeaLake"}
    assert (json["scheme"], json["minzoom"], json["maxzoom"]) == ("xyz", 0, 14)
    west, south, east, north = json["bounds"]
    assert west < json["center"][0] < east
    assert south < json["center"][1] < north
    address = json["tiles"][0]
    start = f"http://127.0.0.1:{mapped.client.port}"
    assert address == f"{start}/v1/maps/{mapped.map}/{{z}}/{{x}}/{{y}}.png"

    behind = mapped.client.get(f"/v1/maps/{mapped.map}/tilejson.json", Host="localhost:1", X_Forwarded_Proto="https")
    assert behind.json["tiles"][0].startswith(f"https://localhost:1/v1/maps/{mapped.map}/")

    raster = mapped.folder / mapped.map / "map" / "map.tif"
    shown = swath.service.tiles.read_map(raster.with_name("map.json"))
    tile = tile_at(shown, json["maxzoom"])
    for scale, side in (("", 256), ("@2x", 512)):
        place = address.removeprefix(start).format(z=tile.z, x=tile.x, y=f"{tile.y}{scale}")
        answer = mapped.client.get(place)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert answer.headers["cache-control"] == "private, max-age=3600"
        at = np.random.default_rng(0).integers(0, side, (2, 4000))
        expected, sure = truth(raster, tile, side, at)
        found = labels(answer.body)
        assert found.shape == (side, side)
        np.testing.assert_array_equal(found[*at][sure], expected[sure])
        assert len(np.unique(found)) >= 4  # three classes, and nothing

    again = mapped.client.get(place, If_None_Match=f'"other", W/{answer.headers["etag"]}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert mapped.client.get(place, If_None_Match='"other"').status == 200


def test_confidence_is_a_layer(mapped: Mapped):
    json = mapped.client.get(f"/v1/maps/{mapped.map}/tilejson.json?layer=confidence").json
    assert list(json["colors"]) == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    assert json["tiles"][0].endswith("/{y}.png?layer=confidence")
    lon, lat, zoom = json["center"]
    tile = swath.service.tiles.WEB_MERCATOR_TMS.tile(lon, lat, int(zoom))
    colored = pixels(mapped.client.get(f"/v1/maps/{mapped.map}/{tile.z}/{tile.x}/{tile.y}.png?layer=confidence").body)
    classes = pixels(mapped.client.get(f"/v1/maps/{mapped.map}/{tile.z}/{tile.x}/{tile.y}.png").body)
    np.testing.assert_array_equal(colored[..., 3], classes[..., 3])
    assert (colored != classes).any()


def test_where_there_is_no_tile(mapped: Mapped):
    ask, good = mapped.client.get, f"/v1/maps/{mapped.map}"
    for outside in ("5/0/0", "24/0/0", "14/8600/5700"):
        answer = ask(f"{good}/{outside}.png")
        assert (answer.status, pixels(answer.body).any()) == (200, False), outside
    for path, status, word in (
        (f"{good}/25/0/0.png", 404, "zoom levels"),
        (f"{good}/3/8/0.png", 404, "zoom levels"),
        (f"{good}/3/-1/0.png", 404, "zoom levels"),
        (f"{good}/3/0/{'9' * 400}.png", 404, "zoom levels"),
        (f"{good}/3/0/0@3x.png", 422, "integer"),
        (f"{good}/3/0/zero.png", 422, "integer"),
        (f"{good}/3/0/0.png?layer=..%2Fjob.json", 422, "layer"),
        (f"{good}/3/0/0.jpg", 404, "no such address"),
        (f"/v1/maps/{'0' * 32}/0/0/0.png", 404, "no such job"),
        (f"/v1/maps/..%2F{mapped.map}/0/0/0.png", 404, "no such"),
        (f"/v1/maps/{'0' * 32}/tilejson.json", 404, "no such job"),
        (f"/v1/maps/{mapped.failed}/0/0/0.png", 409, "the map was not made"),
        (f"/v1/maps/{mapped.failed}/tilejson.json", 409, "the map was not made"),
        (f"/v1/maps/{mapped.nowhere}/0/0/0.png", 409, "no coordinate reference system"),
        (f"/v1/maps/{mapped.nowhere}/tilejson.json", 409, "no coordinate reference system"),
    ):
        answer = ask(path)
        assert (answer.status, word in answer.error) == (status, True), (path, answer.body[:300])
        assert str(mapped.folder) not in answer.error
        assert answer.headers["cache-control"] == "no-store"


def test_a_map_that_is_not_finished_has_no_tiles(mapped: Mapped):
    assert mapped.running.service.jobs is not None
    job = mapped.running.service.jobs.get(mapped.map)
    try:
        for job.state in ("queued", "running"):
            answer = mapped.client.get(f"/v1/maps/{mapped.map}/0/0/0.png")
            assert (answer.status, f"its job is {job.state}" in answer.error) == (409, True)
    finally:
        job.state = "done"


def test_a_map_that_is_deleted_has_no_tiles(tiny_model: Path, tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", checkerboard(("Forest", "River"), rows=1, columns=2)).read_bytes()
    with running(tiny_model, jobs=tmp_path / "jobs", api_key=KEY) as one:
        key = {"Authorization": f"Bearer {KEY}"}
        job = one.client.post("/v1/map", scene, TIFF, **key).json["id"]
        path = f"/v1/maps/{job}/0/0/0.png"
        wait_until(lambda: one.client.get(path, **key).status != 409, "the map is finished")
        assert one.client.get(path, **key).status == 200
        for place in (path, f"/v1/maps/{job}/tilejson.json"):
            assert one.client.get(place).status == 401
        # Its files go before the service has forgotten it.
        swath.service.tiles.read_map.cache_clear()
        for file in (tmp_path / "jobs" / job / "map").iterdir():
            file.unlink()
        assert one.client.get(path, **key).status == 500
        assert one.client.ask("DELETE", f"/v1/map/{job}", **key).status == 200
        assert one.client.get(path, **key).status == 404


def test_tiles_wait_for_their_turn(mapped: Mapped, monkeypatch: pytest.MonkeyPatch):
    """Two are drawn at a time and few wait; those whose client has gone are not drawn."""
    drawn: list[tuple[int, ...]] = []
    free, path = threading.Event(), f"/v1/maps/{mapped.map}"
    draw = swath.service.tiles._values

    def slowly(shown, name, tile, side):
        drawn.append(numbers(tile))
        assert free.wait(PATIENCE)
        return draw(shown, name, tile, side)

    monkeypatch.setattr(swath.service.tiles, "_values", slowly)
    service, client = mapped.running.service, mapped.client
    monkeypatch.setattr(service, "settings", service.settings.model_copy(update={"queue": 4}))
    shown = swath.service.tiles.read_map(mapped.folder / mapped.map / "map" / "map.json")
    waiting = [numbers(tile_at(shown, zoom)) for zoom in range(1, 5)]
    answers: list[int] = []

    def ask(z: int, x: int, y: int) -> None:
        answers.append(client.get(f"{path}/{z}/{x}/{y}.png").status)

    threads = [threading.Thread(target=ask, args=tile) for tile in waiting[:2]]
    with contextlib.ExitStack() as stack:
        stack.callback(free.set)
        for thread in threads:
            thread.start()
        wait_until(lambda: len(drawn) == 2, "two tiles are being drawn")
        gone = [asked(client, f"{path}/{z}/{x}/{y}.png") for z, x, y in waiting[2:]]
        wait_until(lambda: service._drawing == 4, "two more wait")
        refused = client.get(f"{path}/0/0/0.png")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert client.get("/healthz").status == 200
        before = client.metric("swath_clients_gone_total")
        for connection in gone:
            connection.close()
    for thread in threads:
        thread.join(PATIENCE)
    wait_until(lambda: service._drawing == 0, "none waits")
    wait_until(lambda: client.metric("swath_clients_gone_total") == before + 2, "two clients are known to have gone")
    assert answers == [200, 200]
    assert sorted(drawn) == sorted(waiting[:2])


def asked(client: Client, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection
