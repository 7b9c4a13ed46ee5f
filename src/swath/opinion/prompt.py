"""The question about one patch: an enlarged picture, the classes with a line on each, and the form of the answer.

It holds nothing of what is known already: no label, no prediction, no name of a file. Patches of one size get the same
words, whatever they show.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.config import MAX_NAME, printable, read_yaml
from swath.data.archives import read_file
from swath.data.tables import decode_text, read_csv
from swath.errors import DataError, SettingError
from swath.imagery import RGB
from swath.pages.figures import RgbImage, pixels_to_png, to_display_rgb
from swath.pages.text import written

UNSURE = "unsure"
SIDE = 512  # pixels of the longer side that is sent: what "low" detail shows of a picture, and one tile of "high"
_SHIPPED = Path(__file__).with_name("eurosat.yaml")
_TASK = "You classify patches of satellite images for a land-cover survey. You answer with one JSON object alone."


@dataclass(frozen=True)
class Question:
    """What is asked of one patch.

    Attributes
    ----------
    text : str
        The words.
    classes : tuple of str
        Names that may be answered, besides :data:`UNSURE`.
    pixels : numpy.ndarray
        ``[H, W, 3]`` uint8, the patch as it is shown, not enlarged.
    """

    text: str
    classes: tuple[str, ...]
    pixels: RgbImage = field(repr=False)

    @property
    def png(self) -> bytes:
        """The picture that is sent: enlarged, and nothing in it but pixels."""
        picture = Image.fromarray(self.pixels)
        ratio = SIDE / max(picture.size)
        width, height = (max(1, round(side * ratio)) for side in picture.size)
        return pixels_to_png(np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides what is sent."""
        words = json.dumps([_TASK, self.text, self.schema, SIDE, self.pixels.shape])
        return hashlib.sha256(words.encode() + self.pixels.tobytes()).hexdigest()

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the answer, within what strict structured outputs allow."""
        return {
            "type": "object",
            "properties": {
                "label": {"type": "string", "enum": [*self.classes, UNSURE]},
                "confidence": {"type": "number", "description": "probability that the label is right, 0 to 1"},
                "reason": {"type": "string", "description": "one sentence: what in the picture speaks for the label"},
            },
            "required": ["label", "confidence", "reason"],
            "additionalProperties": False,
        }

    @property
    def response_format(self) -> dict[str, Any]:
        """The same, as the chat API takes it."""
        return {"type": "json_schema", "json_schema": {"name": "second_opinion", "strict": True, "schema": self.schema}}

    def messages(self, *, in_words: bool = False) -> list[dict[str, Any]]:
        """Messages of the chat; `in_words` asks for the form of the answer in the text, for servers without schemas."""
        text = self.text
        if in_words:
            text += (
                "\n\nAnswer with one JSON object and nothing else, no code fence. It has to fit this JSON Schema:\n"
                + json.dumps(self.schema)
            )
        address = f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"
        picture = {"type": "image_url", "image_url": {"url": address, "detail": "low"}}
        return [
            {"role": "system", "content": _TASK},
            {"role": "user", "content": [{"type": "text", "text": text}, picture]},
        ]


def make_question(
    pixels: npt.NDArray[Any],
    *,
    bands: Sequence[str],
    classes: Sequence[str],
    definitions: Mapping[str, str] | None = None,
    gsd: float | None = None,
) -> Question:
    """Ask what one patch shows.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``, any real dtype; shown in true color where there are red, green and blue, else the first band
        in gray (see :func:`swath.pages.figures.to_display_rgb`).
    bands : sequence of str
        One name per band.
    classes : sequence of str
        Names that may be answered.
    definitions : mapping of str to str, optional
        A line on each class, or on some of them.
    gsd : float, optional
        Meters per pixel.

    Raises
    ------
    SettingError
        If a class is called :data:`UNSURE`, which is how the model says that it cannot decide.

    Examples
    --------
    >>> import numpy as np
    >>> black = np.zeros((3, 64, 64), np.uint8)
    >>> asked = make_question(black, bands=("red", "green", "blue"), classes=("Field", "Town"))
    >>> print(asked.text.splitlines()[0])
    The picture is one patch of a satellite image, seen from above, in true color, enlarged from 64 x 64 pixels.
    """
    if UNSURE in classes:
        raise SettingError(
            f"a class is called '{UNSURE}', which is what a model answers that cannot decide", fix="rename the class"
        )
    height, width = pixels.shape[1:]
    shown = "in true color" if set(RGB) <= set(bands) else f"band '{bands[0]}' in gray"
    resized = "enlarged" if max(width, height) < SIDE else "reduced"
    lines = [
        f"The picture is one patch of a satellite image, seen from above, {shown}, {resized} from {width} x {height} "
        "pixels."
    ]
    if gsd is not None:
        lines.append(
            f"One of these pixels is about {gsd:g} m on the ground, so the patch covers about {width * gsd:,.0f} x "
            f"{height * gsd:,.0f} m."
        )
    known = definitions or {}
    lines += ["", "Which one of these classes does the patch show?", ""]
    lines += [f"- {name}: {known[name]}" if name in known else f"- {name}" for name in classes]
    lines += [
        "",
        f'label: the name of one class as it is written above, or "{UNSURE}" if you cannot decide.',
        "confidence: the probability, from 0 to 1, that the label is right.",
        "reason: one sentence on what in the picture speaks for the label.",
    ]
    return Question("\n".join(lines), tuple(classes), to_display_rgb(np.asarray(pixels), bands, limit=SIDE))


def read_definitions(path: str | Path | None, classes: Sequence[str]) -> dict[str, str]:
    """Read a line on each class.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        A YAML file, ``Name: what it is`` a line, or a table (.csv) with the columns ``class`` and ``definition``.
        Without it the shipped lines on EuroSAT's classes are taken where all of `classes` are among these.
    classes : sequence of str
        Of the classifier.

    Returns
    -------
    dict of str to str
        Of the classes that have a line; others are asked for by name alone.

    Raises
    ------
    MissingFileError, DataError, SettingError
        If the file cannot be read, or names a class that there is not.

    Examples
    --------
    >>> read_definitions(None, ["Forest", "Glacier"])
    {}
    >>> read_definitions(None, ["Forest"])
    {'Forest': 'closed tree cover, dark and even'}
    """
    if path is None:
        shipped = read_yaml(_SHIPPED)
        return {name: shipped[name] for name in classes} if set(classes) <= set(shipped) else {}
    file = Path(path)
    found = _of_table(file) if file.suffix.lower() == ".csv" else read_yaml(file)
    unknown = sorted(set(map(str, found)) - set(classes))
    if unknown:
        raise SettingError(
            f"{file} defines {written(unknown[0])}, which is no class of the model",
            fix=f"its classes are: {', '.join(map(written, classes))}",
        )
    for name, line in found.items():
        try:
            printable(line if isinstance(line, str) else "")
        except ValueError:
            raise SettingError(
                f"{file}: the definition of {written(str(name))} is no text of one line",
                fix=f"write one sentence, at most {MAX_NAME} letters",
            ) from None
    return {name: found[name] for name in classes if name in found}


def _of_table(file: Path) -> dict[str, str]:
    text, _ = decode_text(read_file(file), where=str(file))
    columns, rows = read_csv(text, where=str(file))
    if not {"class", "definition"} <= set(columns):
        raise DataError(f"{file} has the columns {', '.join(columns)}", fix="give it a header: class,definition")
    return {values["class"]: values["definition"] for _, values in rows}
