"""What stands in a drawn chart: its texts and shapes with where they are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from swath.pages.charts import Chart, text_width

_SPACE = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Text:
    """One line of a drawing with the box it takes at most."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float


class Drawing:
    """One of the two drawings of a chart, or its file."""

    def __init__(self, svg: str | bytes) -> None:
        text = svg.decode() if isinstance(svg, bytes) else svg
        if "xmlns=" not in text:
            text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        self.root = ElementTree.fromstring(text)
        self.width, self.height = (float(self.root.attrib[side]) for side in ("width", "height"))

    @property
    def texts(self) -> list[Text]:
        return [_box(element) for element in self.root.iter(f"{_SPACE}text")]

    @property
    def words(self) -> list[str]:
        return [text.text for text in self.texts]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [element.attrib for element in self.root.iter(f"{_SPACE}{tag}")]


def both(chart: Chart) -> tuple[Drawing, Drawing]:
    """The wide and the narrow drawing."""
    return Drawing(chart.wide), Drawing(chart.narrow)


def outside(drawing: Drawing) -> list[str]:
    """Texts and lines that the edges of a drawing cut."""
    cut = [
        t.text
        for t in drawing.texts
        if t.left < -1 or t.top < -1 or t.right > drawing.width + 1 or t.bottom > drawing.height + 1
    ]
    for path in drawing.all("path"):
        places = [float(n) for n in re.findall(r"-?[\d.]+", re.sub("h0", " ", path["d"]))]
        if min(places) < 0 or max(places[::2]) > drawing.width or max(places[1::2]) > drawing.height:
            cut.append(path["d"][:60])
    return cut


def _box(element: ElementTree.Element) -> Text:
    text = element.text or ""
    size = float(element.get("font-size", 12))
    x, y, long = float(element.attrib["x"]), float(element.attrib["y"]), text_width(text, size=size)
    start = {"start": 0.0, "middle": long / 2, "end": long}[element.get("text-anchor", "start")]
    if "transform" in element.attrib:  # read upwards
        return Text(text, x - size, y + start - long, x, y + start, size)
    return Text(text, x - start, y - size, x - start + long, y + 3, size)
