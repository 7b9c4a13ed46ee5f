"""What a model says of images: labels, confidence, all probabilities, and whether they are like its training data.

:class:`Predictions` is a sequence of small rows and a table at once. Its columns are those that ``swath predict``
writes: both come from :meth:`Predictions.columns`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from swath.errors import MissingExtraError, SettingError
from swath.model import Record
from swath.model.record import Task, label_mask, predicted_class
from swath.pages.text import counted

if TYPE_CHECKING:
    import pandas as pd

JOINED = ";"  # between the labels of one image
NO_LABEL = "(no label)"


class Prediction(NamedTuple):
    """What a model says of one image; the fields are those of :class:`Predictions`."""

    path: str
    label: str
    labels: tuple[str, ...]
    confidence: float
    probabilities: dict[str, float]
    is_ood: bool | None
    ood_score: float | None


@dataclass(frozen=True, repr=False, eq=False)
class Predictions:
    """What a model says of N images, in their order.

    It has a length and can be iterated, indexed and sliced: a row is a :class:`Prediction`, a slice and a
    selection by a NumPy array are Predictions again.

    Attributes
    ----------
    classes : tuple of str
        Names of the K columns of `probabilities`.
    probabilities : numpy.ndarray
        float32 ``[N, K]``, calibrated; rows add up to 1 but for multi-label models.
    confidence : numpy.ndarray
        float32 ``[N]``, 0-1: the probability of the class in `labels`, which for a binary model may be
        below one half; for a multi-label model the largest of all labels' probabilities.
    label_sets : list of tuple of str
        The labels of each image, one by one in the model's order: always one, but any number for
        multi-label models.
    paths : list of str
        Where each image came from; ``image 0``... for those that came without a name.
    ood_score : numpy.ndarray or None
        float32 ``[N]``, how far each image is from the training data (see :mod:`swath.inference.ood`); None
        where the model file holds no statistics of it.
    is_ood : numpy.ndarray or None
        bool ``[N]``, whether that reaches the model file's threshold: the image is unlike the training data,
        and predictions are unreliable there.
    task : str
        ``"single-label"``, ``"binary"`` or ``"multi-label"``.

    Examples
    --------
    >>> import swath
    >>> from swath.data import cached_pixels
    >>> images = cached_pixels(swath.build_index("eurosat-mini"))[200:250]
    >>> found = swath.load("eurosat").predict(images)
    >>> len(found), found.counts["Forest"]
    (50, 30)
    >>> found[40:].labels[0], found[40].path, bool(found[40].confidence > 0.5)
    ('Forest', 'image 40', True)
    >>> doubtful = [row.path for row in found if row.confidence < 0.5 or row.is_ood]
    >>> found.to_table().column_names[:4]
    ['path', 'label', 'confidence', 'p_AnnualCrop']
    """

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    label_sets: list[tuple[str, ...]]
    paths: list[str]
    ood_score: npt.NDArray[np.float32] | None = None
    is_ood: npt.NDArray[np.bool_] | None = None
    task: Task = "single-label"

    @cached_property
    def labels(self) -> list[str]:
        """The class of each image: the most probable one, or for a binary model the one its threshold decides for.

        For a multi-label model all its labels, joined by ``;``, and empty where it has none.
        """
        return [JOINED.join(labels) for labels in self.label_sets]

    @property
    def named(self) -> list[str]:
        """`labels`, with :data:`NO_LABEL` for images that have none: for people to read."""
        return [label or NO_LABEL for label in self.labels]

    @property
    def counts(self) -> Counter[str]:
        """Images with each label, or with :data:`NO_LABEL`."""
        return Counter(label for labels in self.label_sets for label in labels or (NO_LABEL,))

    def __len__(self) -> int:
        return len(self.label_sets)

    @overload
    def __getitem__(self, which: int) -> Prediction: ...
    @overload
    def __getitem__(self, which: slice | npt.NDArray[Any]) -> Predictions: ...
    def __getitem__(self, which: int | slice | npt.NDArray[Any]) -> Prediction | Predictions:
        rows = np.arange(len(self))[which]
        if np.ndim(rows):
            taken: dict[str, Any] = {
                field.name: value[rows] if isinstance(value, np.ndarray) else [value[row] for row in rows]
                for field in fields(self)
                if isinstance(value := getattr(self, field.name), np.ndarray | list)
            }
            return replace(self, **taken)
        row = int(rows)
        return Prediction(
            self.paths[row],
            self.labels[row],
            self.label_sets[row],
            float(self.confidence[row]),
            dict(zip(self.classes, self.probabilities[row].tolist(), strict=True)),
            None if self.is_ood is None else bool(self.is_ood[row]),
            None if self.ood_score is None else float(self.ood_score[row]),
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        parts = [f"{n:,} {label}" for label, n in self.counts.most_common(4)]
        parts += [f"{len(self.counts) - 4} more labels"] if len(self.counts) > 4 else []
        if self.is_ood is not None and self.is_ood.any():
            parts.append(f"{self.is_ood.sum():,} unlike the training data")
        return f"<Predictions of {counted(len(self), 'image', 'images')}: {', '.join(parts) or 'none'}>"

    def top(self, k: int) -> list[list[tuple[str, float]]]:
        """The `k` most probable classes of each image, most probable first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.classes[j], float(row[j])) for j in places]
            for row, places in zip(self.probabilities, order, strict=True)
        ]

    def columns(self, *, top_k: int | None = None) -> dict[str, list[Any]]:
        """Columns of the table that ``swath predict`` writes, by name.

        ``path``, ``label``, ``confidence``; ``top_2``, ``top_2_p``... up to `top_k`; ``p_<class>`` for every
        class; and ``is_ood`` where the model file can detect it. For a multi-label model ``labels``, joined by
        ``;``, in place of ``label``, and the most probable labels from ``top_1`` on, above their thresholds
        or not.

        Raises
        ------
        SettingError
            If `top_k` is not between 1 and the number of classes.
        """
        check_top_k(top_k, self.classes)
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        several = self.task == "multi-label"
        if not several:  # the class decided for, which need not be the most probable, is in 'label'
            decided = np.array([self.classes.index(label) for label in self.labels], np.int64)
            order = order[order != decided[:, None]].reshape(len(self), len(self.classes) - 1)
        first, last = (1, top_k or 0) if several else (2, top_k or 1)
        columns = {
            "path": self.paths,
            "labels" if several else "label": self.labels,
            "confidence": self.confidence.tolist(),
        }
        for place, classes in enumerate(order.T[: last - first + 1], start=first):
            columns[f"top_{place}"] = [self.classes[j] for j in classes]
            columns[f"top_{place}_p"] = self.probabilities[np.arange(len(self)), classes].tolist()
        columns |= {f"p_{name}": self.probabilities[:, j].tolist() for j, name in enumerate(self.classes)}
        return columns | ({} if self.is_ood is None else {"is_ood": self.is_ood.tolist()})

    def to_table(self, *, top_k: int | None = None) -> pa.Table:
        """The :meth:`columns` as a :class:`pyarrow.Table`; a path that is no valid text is written with escapes."""
        columns = self.columns(top_k=top_k)
        paths = [os.fsencode(path).decode("utf-8", "backslashreplace") for path in columns["path"]]
        return pa.table(columns | {"path": paths})

    def to_pandas(self, *, top_k: int | None = None) -> pd.DataFrame:
        """The :meth:`columns` as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        try:
            return self.to_table(top_k=top_k).to_pandas()
        except ModuleNotFoundError as error:
            raise MissingExtraError("Predictions.to_pandas", package="pandas") from error


def check_top_k(top_k: int | None, classes: Sequence[str]) -> None:
    """Refuse a `top_k` that is not between 1 and the number of classes.

    Raises
    ------
    SettingError
        If it is not.
    """
    if top_k is not None and not 1 <= top_k <= len(classes):
        raise SettingError(f"--top-k {top_k}", fix=f"give a number between 1 and {len(classes)}")


def to_predictions(record: Record, probabilities: npt.NDArray[np.float32]) -> Predictions:
    """Turn probabilities ``[N, K]`` into labels and confidences, as the record's task and thresholds say."""
    names = record.class_names
    if record.task == "multi-label":
        confidence = probabilities.max(axis=1)
    else:
        chosen = predicted_class(record, probabilities)
        confidence = probabilities[np.arange(len(chosen)), chosen]
    sets = [
        tuple(name for name, has in zip(names, row, strict=True) if has) for row in label_mask(record, probabilities)
    ]
    paths = [f"image {number}" for number in range(len(sets))]
    return Predictions(names, probabilities, confidence, sets, paths, task=record.task)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """One after the other; of one model and at least one part."""
    whole: dict[str, Any] = {}
    for field in fields(Predictions):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], np.ndarray):
            whole[field.name] = np.concatenate(values)
        elif isinstance(values[0], list):
            whole[field.name] = [value for part in values for value in part]
    return replace(parts[0], **whole)
