"""Film the page Teach in a real Chromium, for the documentation: python scripts/film_teaching.py docs

Writes page-teach.gif, and pictures of the page at desktop and phone width in light and dark (page-teach*.webp), with
the shipped model and the sample scene, by what the tests drive the page with. Needs a Chromium on the path.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.app.test_server import running
from tests.app.visitor import CANVAS, Visitor

PLACES = {
    "AnnualCrop": [(32, 32), (96, 352), (160, 416)],
    "Industrial": [(800, 416), (864, 480), (736, 608)],
    "River": [(1376, 416), (1440, 544), (1376, 672)],
    "Hedgerow": [(416, 416), (480, 544), (352, 608)],
}
NEW = "Hedgerow"
WIDE, HIGH, SMALL = 1280, 860, 640  # of the window, and of the film
TALLEST = 1700  # of a picture of the page, whose end says how to take files along
SHOWN = {"click": 450, "rest": 2500}  # milliseconds that a frame is shown


def main(out: Path) -> None:
    """Teach with twelve clicks, and keep what is seen."""
    frames: list[tuple[Image.Image, int]] = []
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as (address, _), Visitor() as one:

        def seen(milliseconds: int) -> None:
            one.run(f"{CANVAS}?.querySelector('.view').scrollIntoView({{block: 'end'}})")
            frames.append((picture(one), milliseconds))

        one.open(f"{address}/map", width=WIDE, height=HIGH)
        one.clicks("Coarse")
        one.clicks("Make the map")
        one.sees("Click the map, and you see")
        one.clicks("Teach it")
        one.sees("Propose places")
        one.until(f"{CANVAS}?.querySelector('.canvas').dataset.ready === 'yes'", "the scene")
        one.writes("A class of your own", NEW)
        one.is_told(NEW)
        count = 0
        for label, places in PLACES.items():
            one.chooses(label)
            for column, row in places:
                one.points_at(column, row)
                count += 1
                one.sees(f"{count} place{'s' if count > 1 else ''} named")
                seen(SHOWN["click"])
        one.clicks("Teach")
        one.sees("What it has learned")
        one.sees("of the map has changed its class")
        one.until(f"{CANVAS}.querySelectorAll('.view').length === 2", "the two maps")
        time.sleep(2)
        seen(SHOWN["rest"])
        still(one, out / "page-teach.webp")
        for name, width, dark in (("page-teach-dark", WIDE, True), ("page-teach-phone", 390, False)):
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            one._call("Emulation.setEmulatedMedia", media="", features=[scheme])
            one._call(
                "Emulation.setDeviceMetricsOverride", width=width, height=HIGH, deviceScaleFactor=1, mobile=width < 600
            )
            time.sleep(3)
            still(one, out / f"{name}.webp")
        one._call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        time.sleep(3)
        still(one, out / "page-teach-phone-dark.webp")
        if one.console:
            raise SystemExit(f"the console says: {one.console}")
    first, *others = [image.quantize(64, dither=Image.Dither.NONE) for image, _ in frames]
    first.save(
        out / "page-teach.gif",
        save_all=True,
        append_images=others,
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        optimize=True,
    )


def picture(one: Visitor) -> Image.Image:
    """What is in the window, at the size of the film."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.png"
        one.picture(file, height=HIGH)
        image = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
    return image.resize((SMALL, round(image.height * SMALL / image.width)), Image.Resampling.LANCZOS)


def still(one: Visitor, file: Path) -> None:
    """The page as a small picture."""
    width = one.run("innerWidth")
    one.whole()
    time.sleep(2)
    with tempfile.TemporaryDirectory() as folder:
        one.picture(Path(folder) / "page.png")
        image = Image.open(Path(folder) / "page.png").convert("RGB")
    if image.width > 900:
        image = image.resize((900, round(image.height * 900 / image.width)), Image.Resampling.LANCZOS)
    image.crop((0, 0, image.width, min(image.height, TALLEST))).save(file, quality=70, method=6)
    one._call("Emulation.setDeviceMetricsOverride", width=width, height=HIGH, deviceScaleFactor=1, mobile=width < 600)
    time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
