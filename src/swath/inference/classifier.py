"""A model file and an engine in, probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from swath.errors import DataError, ModelFileError, SettingError
from swath.inference.choice import AUTO, engine_for, key_of, make_engine
from swath.inference.engines import Engine, Outputs, describe
from swath.inference.images import MODELS, Image, Layout, image_pixels, named_images
from swath.inference.ood import NEEDED, OodScorer
from swath.inference.predictions import Predictions, concatenate, to_predictions
from swath.model import ModelFile, Record, read_model
from swath.model.graph import OUTPUTS, head_of
from swath.progress import Progress, silent

TTA_VIEWS = (1, 4, 8)
# Images of one size held before they are handed to the engine, fewer if they are much larger than a patch.
HELD = 256
HELD_BYTES = 32 * 2**20


def check_tta(tta: int) -> int:
    """`tta`, if it is a number of views there is.

    Raises
    ------
    SettingError
        If not.
    """
    if tta not in TTA_VIEWS:
        raise SettingError(f"{tta} views of a patch", fix="give 1, 4 (rotations) or 8 (rotations and flips)")
    return tta


def augmented_views(pixels: npt.NDArray[Any], tta: int) -> Iterator[npt.NDArray[Any]]:
    """The other ``tta - 1`` views of patches ``[N, bands, H, W]``: rotations, then flips; half of them swap H and W."""
    for view in range(1, tta):
        mirrored = pixels[..., ::-1] if view >= 4 else pixels
        yield np.ascontiguousarray(np.rot90(mirrored, view % 4, axes=(2, 3)))


class Classifier:
    """A loaded model that classifies images; made by :func:`load`.

    Attributes
    ----------
    record : Record
        The model's own record.
    engine : str
        What runs it: engine, precision, threads and batch, such as ``openvino bf16, 2 threads, batch 8``.
    tta : int
        Views of a patch over which :meth:`answer` and :meth:`predict` average.

    Examples
    --------
    >>> import swath
    >>> swath.load("eurosat", engine="openvino", threads=1)  # doctest: +ELLIPSIS
    <Classifier eurosat: 10 classes (AnnualCrop, Forest, ...), uint8 red, green, blue, 64 x 64 px; openvino ...>
    """

    def __init__(self, model: ModelFile, engine: Engine, *, ran: str | None = None, tta: int = 1) -> None:
        self.record: Record = model.record
        self.path: Path = model.path
        self.tta = check_tta(tta)
        self.engine: str = (ran or describe(engine)) + (f", {tta} views" if tta > 1 else "")
        self.head = head_of(model.graph)
        self.outputs = tuple(o.name for o in model.graph.graph.output if o.name in OUTPUTS)
        self._engine = engine
        kept = model.record.out_of_distribution
        self._ood_scorer = (
            OodScorer(
                kept, name=self.record.name, task=self.record.task, temperature=self.record.temperature, size=self.size
            )
            if kept is not None and set(NEEDED) <= set(self.outputs)
            else None
        )

    def __repr__(self) -> str:
        spec = self.record.input
        names = ", ".join(self.record.class_names)
        return (
            f"<Classifier {self.record.name}: {len(self.record.classes)} classes ({names}), {spec.data_type} "
            f"{', '.join(spec.bands)}, {spec.size} x {spec.size} px; {self.engine}>"
        )

    @property
    def size(self) -> int:
        """Side of the patches the network sees, pixels."""
        return self.record.input.size

    def run(self, pixels: npt.NDArray[Any], *, wanted: Sequence[str] = ("probabilities",)) -> Outputs:
        """Run the graph on patches of one size; the engine takes as many at a time as it runs fastest with.

        Parameters
        ----------
        pixels : numpy.ndarray
            ``[N, bands, H, W]`` of the model's data type, as decoded: nothing is to be done to them.
            Other sizes than the model's are resized as the graph says it.
        wanted : sequence of str
            Any of ``probabilities [N, K]``, ``logits [N, K]``, ``features [N, D]``,
            ``activations [N, D, h, w]``.

        Returns
        -------
        dict of str to numpy.ndarray
            float32.

        Raises
        ------
        DataError
            If the shape or type of `pixels`, or a wanted output, is not the model's.
        """
        spec = self.record.input
        if pixels.ndim != 4 or pixels.shape[1] != len(spec.bands) or 0 in pixels.shape:
            raise DataError(
                f"pixels have shape {pixels.shape}, model '{self.record.name}' takes "
                f"[N, {len(spec.bands)}, H, W] ({', '.join(spec.bands)})"
            )
        if pixels.dtype != spec.data_type:
            raise DataError(f"pixels are {pixels.dtype}, model '{self.record.name}' takes {spec.data_type}")
        missing = [name for name in wanted if name not in self.outputs]
        if missing:
            raise DataError(f"model '{self.record.name}' has no output '{missing[0]}'")
        return self._engine.run(pixels, wanted)

    @property
    def detects_ood(self) -> bool:
        """Whether the model file holds what detects patches unlike its training data."""
        return self._ood_scorer is not None

    def answer(self, pixels: npt.NDArray[Any]) -> Predictions:
        """Classify patches of one size, and flag those unlike the training data where the model file can detect them.

        With several views, probabilities are the mean over them; the OOD score is that of the patch itself.

        Parameters
        ----------
        pixels
            As for :meth:`run`.
        """
        wanted = ("probabilities",) if self._ood_scorer is None else ("probabilities", *NEEDED)
        found = self.run(pixels, wanted=wanted)
        probabilities = found["probabilities"]
        if self.tta > 1:
            others = (self.run(view)["probabilities"] for view in augmented_views(pixels, self.tta))
            probabilities = sum(others, start=probabilities) / np.float32(self.tta)
        predictions = self.decide(probabilities)
        if self._ood_scorer is None:
            return predictions
        score = self._ood_scorer.score(pixels, found["features"], found["logits"])
        return replace(predictions, ood_score=score, is_ood=score >= self._ood_scorer.threshold)

    def ood_windows(
        self, pixels: npt.NDArray[Any], features: npt.NDArray[Any], logits: npt.NDArray[Any], *, stride: int
    ) -> npt.NDArray[np.bool_]:
        """Which windows ``[rows, columns]`` of a dense pass are unlike the training data, as :meth:`answer` flags them.

        Parameters
        ----------
        pixels : numpy.ndarray
            ``[bands, H, W]`` of the model's data type, those the pass was over.
        features, logits : numpy.ndarray
            ``[D, rows, columns]`` and ``[L, rows, columns]``; see :func:`swath.model.dense.dense_graph`.
        stride : int
            Pixels from one window to the next.

        Raises
        ------
        ModelFileError
            If the model file holds nothing that detects such windows.
        """
        if self._ood_scorer is None:
            raise ModelFileError(
                f"model '{self.record.name}' holds no out-of-distribution statistics",
                fix="fit them: swath model calibrate MODEL INDEX --out NEW.onnx",
            )
        scores = self._ood_scorer.score_windows(pixels, features, logits, stride=stride)
        return np.asarray(scores >= self._ood_scorer.threshold)

    def same_engine(self, graph: onnx.ModelProto) -> Engine:
        """Start another engine of this one's kind, precision and threads, for another graph."""
        return make_engine(key_of(self._engine), graph, threads=self._engine.threads, where=str(self.path))

    def predict(
        self, images: Image | Iterable[Image], *, layout: Layout | None = None, progress: Progress = silent
    ) -> Predictions:
        """Classify images.

        Parameters
        ----------
        images : Image, or iterable of Images
            Paths and ``/vsi...`` names, bytes of files, Pillow images, open rasterio datasets,
            ``xarray.DataArray``s with the dimensions band, y and x (and one more for several), or arrays and
            torch tensors ``[bands, H, W]``, ``[H, W, bands]`` or, for several, ``[N, ...]``. One image alone
            is taken as a list of one. Sizes may differ. Pixels are those of the file, in the model's data
            type: nothing is to be done to them. Folders are for :func:`swath.inference.predict_files`.
        layout : {"chw", "hwc"}, optional
            Which axis of plain arrays holds the bands: the first or the last. By default the one that is as
            long as the model has bands.
        progress : Progress
            Called for every batch.

        Returns
        -------
        Predictions

        Raises
        ------
        DataError
            If an image cannot be decoded, is none of these, or does not have the model's bands and type.
        SettingError
            If there is no such layout.

        Examples
        --------
        >>> import numpy as np
        >>> import swath
        >>> classifier = swath.load("eurosat")
        >>> classifier.predict(np.full((2, 64, 64, 3), (35, 70, 110), np.uint8)).labels
        ['SeaLake', 'SeaLake']
        """
        named, total = named_images(images)
        parts = list(self.stream(named, layout=layout, total=total, progress=progress))
        if not parts:
            raise DataError("there is no image to classify", fix="give at least one")
        return concatenate(parts)

    def stream(
        self,
        images: Iterable[tuple[str, Image]],
        *,
        layout: Layout | None = None,
        batch_size: int = HELD,
        total: int | None = None,
        progress: Progress = silent,
    ) -> Iterator[Predictions]:
        """Classify named images of any sizes, a batch at a time, in order.

        Parameters
        ----------
        images : iterable of (str, Image)
            Images as :meth:`predict` takes them, each with its path or another name.
        layout : {"chw", "hwc"}, optional
            As for :meth:`predict`.
        batch_size : int
            Images of one size held at a time; fewer if they are large.
        total : int, optional
            How many there will be, if known, for `progress`.

        Yields
        ------
        Predictions
            Of the images of one batch.
        """
        names: list[str] = []
        held: list[npt.NDArray[Any]] = []
        done = most = 0
        for name, image in images:
            pixels = self.pixels_of(image, name=name, layout=layout)
            if held and (len(held) >= most or pixels.shape != held[0].shape):
                yield replace(self.answer(np.stack(held)), paths=names)
                done += len(held)
                progress("classify", done, max(total or 0, done))
                names, held = [], []
            most = max(1, min(batch_size, HELD_BYTES // pixels.nbytes))  # images of this size
            names.append(name)
            held.append(pixels)
        if held:
            yield replace(self.answer(np.stack(held)), paths=names)
            done += len(held)
        progress("classify", done, done)

    def pixels_of(
        self, image: Image, *, name: str, layout: Layout | None = None, data_type: str | None = MODELS
    ) -> npt.NDArray[Any]:
        """The model's bands ``[bands, H, W]`` of one image; see :func:`swath.inference.images.image_pixels`."""
        return image_pixels(image, self.record, name=name, layout=layout, data_type=data_type)

    def decide(self, probabilities: npt.NDArray[np.float32]) -> Predictions:
        """Turn probabilities ``[N, K]`` into labels and confidences."""
        return to_predictions(self.record, probabilities)


def load(model: str | Path, *, engine: str = AUTO, threads: int | None = None, tta: int = 1) -> Classifier:
    """Load a model file, or a shipped model by name.

    Parameters
    ----------
    model : str or pathlib.Path
        A ``.onnx`` file written by swath, or a name such as ``"eurosat"``.
    engine : str
        What runs it: ``onnxruntime``, ``openvino`` (both fp32), ``openvino-bf16``, or ``auto``, which
        :func:`swath.inference.choice.choose_engine` settles. :attr:`Classifier.engine` says what it was.
    threads : int, optional
        By default, as many as the cores this process may use.
    tta : int
        Test-time augmentation: average over 1, 4 (rotations) or 8 (rotations and flips) views. Slightly more
        accurate, that many times slower.

    Raises
    ------
    ModelFileError, SettingError
        If the model, the engine or the number of views cannot be used.

    Examples
    --------
    >>> import swath
    >>> classifier = swath.load("eurosat", threads=1)
    >>> classifier.record.class_names[:3]
    ('AnnualCrop', 'Forest', 'HerbaceousVegetation')
    """
    file = read_model(model)
    started, ran = engine_for(file, engine, threads=threads)
    return Classifier(file, started, ran=ran, tta=tta)
