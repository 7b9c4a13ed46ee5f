"""Image labels as annotation programs export them: Label Studio (JSON, JSON-MIN, CSV), CVAT (XML), Datumaro (JSON).

Each reader turns an export into :class:`Mark` objects, one per image and annotator; :func:`entries_from_export` decides
on one set of labels for each image and finds the image among the files that are there, since an export names it as the
program's server did. What is left out is counted in ``Entries.notes``.

Formats: https://labelstud.io/guide/export, https://docs.cvat.ai/docs/other/xml_format.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.parsers import expat

from swath.data.entries import SPLIT_NAMES, Entries, entries_from_rows
from swath.data.filenames import is_image_name
from swath.data.tables import read_csv
from swath.errors import DataError, SwathError

CVAT_FILE = "annotations.xml"
_SHAPES = ("box", "polygon", "polyline", "points", "cuboid", "mask", "skeleton", "ellipse")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file
# Columns of Label Studio's short exports that hold no answer.
_ABOUT = frozenset(
    """
    id annotation_id annotator annotators created_at updated_at lead_time agreement sentiment_score comments
    completed_by total_annotations cancelled_annotations total_predictions
    """.split()  # noqa: SIM905  (names read better as words)
)
_SIGNS = {"annotation_id", "lead_time"}
_BY_HAND = "list the images in a CSV of path,label"
_FIRST = 3


@dataclass(frozen=True)
class Mark:
    """What one annotator says of one image.

    Attributes
    ----------
    image : str
        As the export names it: a path, an address, or a name on the program's server.
    labels : tuple of str or None
        ``None`` where the image was skipped or not looked at.
    split : str or None
        Subset of the project.
    final : bool
        Whether it was marked as the ground truth, which outvotes others.
    """

    image: str
    labels: tuple[str, ...] | None
    split: str | None = None
    final: bool = False


def is_export(text: str, suffix: str) -> bool:
    """Whether a file looks like an export that :func:`entries_from_export` reads."""
    start = text[:4096].lstrip("\ufeff \r\n\t")
    if suffix == ".csv":
        return bool(_SIGNS & {name.strip().strip('"') for name in start.split("\n", 1)[0].split(",")})
    if suffix == ".xml":
        return True
    return start.startswith("[") or ('"items"' in text and '"images"' not in text)  # which COCO has


def entries_from_export(text: str, suffix: str, *, names: Sequence[str], folder: str, where: str) -> Entries:
    """Read an export of image labels and find its images among files.

    Parameters
    ----------
    text : str
        The export.
    suffix : str
        ``.json``, ``.csv`` or ``.xml``.
    names : sequence of str
        All files beneath the root.
    folder : str
        Folder of the export relative to the root; images beneath it are preferred.
    where : str
        Name of the export, for messages.

    Raises
    ------
    DataError
        If it is damaged or of another kind, answers several questions, or none of its images is there.
    """
    try:
        marks = {".json": _from_json, ".csv": _from_csv, ".xml": _from_cvat}[suffix](text, where)
    except SwathError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # Anything may stand where a list, a name or a number should.
        raise DataError(f"{where} is not as annotation programs write it ({error})", fix=_BY_HAND) from error
    if not marks:
        raise DataError(f"{where} lists no images")
    notes: list[str] = []
    decided = _decide(marks, notes)
    found = _find(decided, names, folder, where, notes)
    single = all(len(mark.labels or ()) == 1 for mark in found.values())
    several = any(len(mark.labels or ()) > 1 for mark in found.values())
    if not single and not several:  # without several labels anywhere, none means that an answer is missing
        empty = sum(not mark.labels for mark in found.values())
        found = {path: mark for path, mark in found.items() if mark.labels}
        notes.append(f"left out, images with an empty annotation: {empty:,}")
    rows = (
        (
            f"{where}, image {mark.image}",
            {
                "path": path,
                **({"labels": mark.labels} if several else {"label": (mark.labels or ("",))[0]}),
                "split": mark.split if (mark.split or "").lower() in SPLIT_NAMES else None,
            },
        )
        for path, mark in found.items()
    )
    made = entries_from_rows(rows, where=where)
    return Entries(made.rows, notes=tuple(notes))


def _decide(marks: Iterable[Mark], notes: list[str]) -> list[Mark]:
    """One mark per image: the ground truth, or what most annotators say."""
    by_image: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        by_image[mark.image].append(mark)
    decided: list[Mark] = []
    counts: Counter[str] = Counter()
    for given in by_image.values():
        answers = [mark for mark in given if mark.labels is not None]
        if not answers:
            counts["unanswered"] += 1
            continue
        final = [mark for mark in answers if mark.final] or answers
        votes = Counter(mark.labels for mark in final)
        (most, n), *others = votes.most_common(2)
        if others and others[0][1] == n:
            counts["open"] += 1
            continue
        counts["outvoted"] += bool(others)
        decided.append(next(mark for mark in final if mark.labels == most))
    for kind, text in {
        "unanswered": "left out, images skipped or not annotated",
        "open": "left out, images on which annotators disagree",
        "outvoted": "images on which annotators disagree, labeled as most of them say",
    }.items():
        if counts[kind]:
            notes.append(f"{text}: {counts[kind]:,}")
    return decided


def _find(marks: Sequence[Mark], names: Sequence[str], folder: str, where: str, notes: list[str]) -> dict[str, Mark]:
    """Marks by the path of their image; those of no or of several files are counted."""
    images = [name for name in names if is_image_name(name)]
    exact = set(images)
    by_name: dict[str, list[str]] = defaultdict(list)
    for image in images:
        for key in {PurePosixPath(image).name, _stored_name(PurePosixPath(image).name)}:
            by_name[key].append(image)
    found: dict[str, Mark] = {}
    missing: list[str] = []
    ambiguous: list[str] = []
    twice: list[str] = []
    for mark in marks:
        candidates = _candidates(mark.image, by_name, exact, folder)
        if len(candidates) != 1:
            (ambiguous if candidates else missing).append(mark.image)
        elif candidates[0] in found:
            twice.append(mark.image)
        else:
            found[candidates[0]] = mark
    if not found:
        raise DataError(
            f"none of the {len(marks):,} labeled images of {where} is beneath its folder, such as {marks[0].image}"
            if marks
            else f"{where} holds no finished annotation of an image",
            fix="put the images into the folder of the export, under the names they had",
        )
    for kind, left in (("not there", missing), ("that could be several files", ambiguous), ("named twice", twice)):
        if left:
            more = f" and {len(left) - _FIRST:,} more" if len(left) > _FIRST else ""
            notes.append(f"left out, labeled images {kind}: {len(left):,} ({', '.join(left[:_FIRST])}{more})")
    return found


def _candidates(image: str, by_name: Mapping[str, list[str]], exact: set[str], folder: str) -> list[str]:
    """Files an image may be: at its very path, or of its name and with most of its folders."""
    path = local_path(image)
    for whole in (f"{folder}/{path}" if folder else path, path):
        if whole in exact:
            return [whole]
    name = PurePosixPath(path).name
    plain = _UPLOADED.sub("", name, count=1)
    fitting = next((by_name[key] for key in (name, plain) if key in by_name), [])
    parents = PurePosixPath(path).parts[-2::-1]  # from the file upwards

    def shared(candidate: str) -> int:
        pairs = zip(parents, PurePosixPath(candidate).parts[-2::-1], strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

    if len(fitting) < 2:
        return fitting
    best = max(map(shared, fitting))
    return [candidate for candidate in fitting if shared(candidate) == best]


def local_path(image: str) -> str:
    """The path within an address, a server's name or a path of another machine, with forward slashes.

    Examples
    --------
    >>> local_path("/data/local-files/?d=scenes/a%20b.png")
    'scenes/a b.png'
    >>> local_path("s3://bucket/scenes/a.png"), local_path("C:\\\\scenes\\\\a.png")
    ('scenes/a.png', 'scenes/a.png')
    """
    parts = urlsplit(image)
    query = parse_qs(parts.query)
    if "d" in query:
        path = query["d"][0]
    elif "fileuri" in query:
        return local_path(_decoded(query["fileuri"][0]))
    elif len(parts.scheme) > 1 or (parts.query and is_image_name(parts.path)):
        path = unquote(parts.path)
    else:
        path = unquote(image)
    path = re.sub(r"^[A-Za-z]:", "", path.replace("\\", "/"))
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def _stored_name(name: str) -> str:
    """A file's name as a server stores it: spaces as underscores, other marks left out."""
    return re.sub(r"[^\w.-]", "", name.strip().replace(" ", "_"))


def _from_json(text: str, where: str) -> list[Mark]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON ({error})") from error
    if isinstance(content, dict):
        return _from_datumaro(content, where)
    if not all(isinstance(task, dict) for task in content):
        raise DataError(f"{where} is a list, but not of an annotation program's tasks", fix=_BY_HAND)
    if all("data" in task for task in content):
        return _from_tasks(content, where)
    return _from_short([(f"{where}, task {n}", task) for n, task in enumerate(content, start=1)], where)


def _from_tasks(tasks: Sequence[Mapping[str, Any]], where: str) -> list[Mark]:
    """Label Studio's JSON: tasks with data and annotations."""
    marks: list[Mark] = []
    asked: Counter[str] = Counter()
    whole: list[tuple[str, dict[str, Any], list[tuple[str, tuple[str, ...], bool]]]] = []
    for number, task in enumerate(tasks, start=1):
        image = _image_of(task["data"], f"{where}, task {task.get('id', number)}")
        annotations = task.get("annotations", task.get("completions")) or []
        done = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled") and not a.get("skipped")]
        if not done:
            marks.append(Mark(image, None))
        for annotation in done:
            answers = [_answer(part) for part in annotation.get("result") or [] if isinstance(part, dict)]
            kept = [answer for answer in answers if answer is not None]
            asked.update({question for question, _, of_image in kept if of_image})
            whole.append((image, annotation, kept))
    if len(asked) > 1:
        raise DataError(f"{where} answers several questions: {', '.join(sorted(asked))}", fix=_BY_HAND)
    for image, annotation, kept in whole:
        labels = {label for _, some, of_image in kept if of_image or not asked for label in some}
        marks.append(Mark(image, tuple(sorted(labels)), final=bool(annotation.get("ground_truth"))))
    return marks


def _answer(part: Mapping[str, Any]) -> tuple[str, tuple[str, ...], bool] | None:
    """The question, the labels, and whether they are of the whole image, of one result; ``None`` of other kinds."""
    kind, value = part.get("type"), part.get("value")
    if not isinstance(kind, str) or not isinstance(value, dict) or kind not in value:
        return None
    of_image = kind in ("choices", "taxonomy") and "x" not in value and "points" not in value
    if kind not in ("choices", "taxonomy") and not kind.endswith("labels"):
        return None
    return str(part.get("from_name", kind)), _labels(value[kind]), of_image


def _labels(value: Any) -> tuple[str, ...]:
    """Labels in a cell or a field: a name, JSON text, a list, or lists of a taxonomy's steps."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("{", "[")):
            try:
                return _labels(json.loads(text))
            except ValueError:
                return (text,)
        return (text,) if text else ()
    if isinstance(value, dict):
        return _labels(value.get("choices", value.get("taxonomy", [])))
    if isinstance(value, list):
        return tuple("/".join(map(str, one)) if isinstance(one, list) else str(one).strip() for one in value)
    return () if value is None else (str(value),)


def _from_csv(text: str, where: str) -> list[Mark]:
    _, rows = read_csv(text.lstrip("\ufeff"), where=where)
    return _from_short(rows, where)


def _from_short(rows: Sequence[tuple[str, Mapping[str, Any]]], where: str) -> list[Mark]:
    """Label Studio's JSON-MIN and CSV: an image and the answers side by side."""
    if not rows:
        return []
    images = [_image_of(row, place) for place, row in rows]
    named = {key for (_, row), image in zip(rows, images, strict=True) for key in row if row[key] == image}
    questions = sorted({key for _, row in rows for key in row} - _ABOUT - named)
    answered = [q for q in questions if any(_labels(row.get(q)) for _, row in rows)]
    answered = [q for q in answered if not all(is_image_name(local_path(str(row.get(q)))) for _, row in rows)]
    if len(answered) > 1:
        raise DataError(f"{where} answers several questions: {', '.join(answered)}", fix=_BY_HAND)
    if not answered:
        raise DataError(f"{where} holds no finished annotation of an image")
    return [
        Mark(image, tuple(sorted({*_labels(row.get(answered[0]))})) or None)
        for image, (_, row) in zip(images, rows, strict=True)
    ]


def _image_of(data: Any, place: str) -> str:
    """The one value that names an image."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    images = {key: value for key, value in texts.items() if is_image_name(local_path(value))}
    for key in ("image", *images):
        if key in images:
            return images[key]
    raise DataError(f"{place} names no image", fix=_BY_HAND)


def _from_datumaro(content: Mapping[str, Any], where: str) -> list[Mark]:
    """Datumaro's JSON: categories, and items with labels by number."""
    try:
        names = [str(label["name"]) for label in content["categories"]["label"]["labels"]]
        return [
            Mark(
                str((item.get("image") or item.get("media") or {}).get("path") or item["id"]),
                tuple(sorted({names[a["label_id"]] for a in item.get("annotations", []) if a.get("type") == "label"})),
                split=item.get("subset"),
            )
            for item in content["items"]
        ]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{where} is neither COCO-style nor Datumaro's JSON (at {error})", fix=_BY_HAND) from error


def _from_cvat(text: str, where: str) -> list[Mark]:
    """CVAT's XML for images: labels of tags, or an attribute of one tag, or labels of shapes."""
    reader = _CvatReader(where)
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse  # entities could unfold without end, or read other files
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise DataError(f"{where} is not valid XML ({error})") from error
    if not reader.images:
        raise DataError(f"{where} is XML, but not CVAT's export of images", fix="export it as 'CVAT for images 1.1'")
    return reader.marks()


class _CvatReader:
    """Handlers of the parser, and what they gather."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.images: list[tuple[str, str | None]] = []
        self.tags: dict[int, list[str]] = defaultdict(list)
        self.shapes: dict[int, list[str]] = defaultdict(list)
        self.attributes: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._inside = False
        self._in_tag = False
        self._attribute: str | None = None
        self._text = ""

    def start(self, name: str, given: dict[str, str]) -> None:
        if name == "track":
            raise DataError(f"{self.where} is CVAT's export of a video", fix="export it as 'CVAT for images 1.1'")
        if name == "image":
            self._inside = True
            self.images.append((given.get("name", ""), given.get("subset")))
        elif not self._inside:
            return
        elif name == "tag":
            self._in_tag = True
            self.tags[len(self.images) - 1].append(given.get("label", ""))
        elif name in _SHAPES:
            self.shapes[len(self.images) - 1].append(given.get("label", ""))
        elif name == "attribute" and self._in_tag:
            self._attribute, self._text = given.get("name", ""), ""

    def end(self, name: str) -> None:
        if name == "image":
            self._inside = False
        elif name == "tag":
            self._in_tag = False
        elif name == "attribute" and self._attribute is not None:
            if self._text.strip():
                self.attributes[self._attribute][len(self.images) - 1].append(self._text.strip())
            self._attribute = None

    def text(self, data: str) -> None:
        if self._attribute is not None:
            self._text += data

    def refuse(self, *_: object) -> None:
        raise DataError(f"{self.where} declares a document type, which no export of CVAT does", fix="export it again")

    def marks(self) -> list[Mark]:
        held: Mapping[int, list[str]] = self.tags or self.shapes
        if len({label for labels in self.tags.values() for label in labels}) == 1:
            telling = [name for name, of in self.attributes.items() if len({v for vs in of.values() for v in vs}) > 1]
            if len(telling) > 1:
                raise DataError(f"{self.where} answers several questions: {', '.join(telling)}", fix=_BY_HAND)
            if telling:
                held = self.attributes[telling[0]]
        return [
            Mark(name, tuple(sorted(set(held[at]))) if held.get(at) else None, split=subset)
            for at, (name, subset) in enumerate(self.images)
        ]
