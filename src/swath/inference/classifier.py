"""A model file and an engine in, probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx

from swath.errors import DataError, SettingError
from swath.imagery import Picture, decode, select_bands
from swath.inference.choice import AUTO, engine_for, key_of, make_engine
from swath.inference.engines import Engine, Outputs, describe
from swath.inference.ood import NEEDED, OodScorer
from swath.inference.predictions import Predictions, joined, judged
from swath.model import ModelFile, Record, read_model
from swath.model.graph import OUTPUTS, head_of
from swath.progress import Progress, silent

TTA_VIEWS = (1, 4, 8)
# Images of one size held before they are handed to the engine, fewer if they are much larger than a patch.
HELD = 256
HELD_BYTES = 32 * 2**20
Image = str | Path | bytes | Picture | npt.NDArray[Any]


def check_tta(tta: int) -> int:
    """`tta`, if patches can be shown in so many ways.

    Raises
    ------
    SettingError
        If not.
    """
    if tta not in TTA_VIEWS:
        raise SettingError(
            f"{tta} views of a patch",
            fix="give 1 (as it is), 4 (turned by quarters) or 8 (and mirrored too)",
        )
    return tta


def augmented_views(pixels: npt.NDArray[Any], tta: int) -> Iterator[npt.NDArray[Any]]:
    """The other ``tta - 1`` ways to look at patches ``[N, bands, H, W]``; H and W change places in half of them."""
    for view in range(1, tta):
        mirrored = pixels[..., ::-1] if view >= 4 else pixels
        yield np.ascontiguousarray(np.rot90(mirrored, view % 4, axes=(2, 3)))


class Classifier:
    """A loaded model; see :func:`load`.

    Attributes
    ----------
    record : Record
        The model's own record.
    engine : str
        What runs it: engine, precision, threads and batch, such as ``openvino bf16, 2 threads, batch_size 8``.
    tta : int
        How many ways :meth:`answer` and :meth:`predict` look at a patch.
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
        tells = kept is not None and set(NEEDED) <= set(self.outputs)
        self._ood_scorer = OodScorer(model.record, kept) if kept is not None and tells else None

    @property
    def size(self) -> int:
        """Side of the patches the network sees, pixels."""
        return self.record.input.size

    def run(
        self,
        pixels: npt.NDArray[Any],
        *,
        batch_size: int | None = None,
        wanted: Sequence[str] = ("probabilities",),
    ) -> Outputs:
        """Run the graph on patches of one size.

        Parameters
        ----------
        pixels : numpy.ndarray
            ``[N, bands, H, W]`` of the model's data type, as decoded: nothing is to be done to them.
            Other sizes than the model's are resized as the graph says it.
        batch_size : int, optional
            Patches handed to the engine at a time at most. By default all of them: the engine takes as many
            at a time as it runs fastest with.
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
        SettingError
            If `batch_size` is not positive.
        """
        if batch_size is not None and batch_size < 1:
            raise SettingError(f"a batch of {batch_size} patches", fix="give 1 or more")
        pixels = self._checked(pixels)
        missing = [name for name in wanted if name not in self.outputs]
        if missing:
            raise DataError(f"model '{self.record.name}' has no output '{missing[0]}'")
        if batch_size is None or batch_size >= len(pixels):
            return self._engine.run(pixels, wanted)
        parts = [
            self._engine.run(pixels[i : i + batch_size], wanted) for i in range(0, len(pixels), batch_size)
        ]
        return {name: np.concatenate([p[name] for p in parts]) for name in wanted}

    @property
    def detects_ood(self) -> bool:
        """Whether the model file can tell what is not like its training data."""
        return self._ood_scorer is not None

    def answer(self, pixels: npt.NDArray[Any], *, batch_size: int | None = None) -> Predictions:
        """Classify patches of one size, and say which are not like the training data where the model can tell.

        With several views, probabilities are the mean over them; how strange a patch is follows from it as it is.

        Parameters
        ----------
        pixels, batch
            As for :meth:`run`.
        """
        wanted = ("probabilities",) if self._ood_scorer is None else ("probabilities", *NEEDED)
        found = self.run(pixels, batch_size=batch_size, wanted=wanted)
        probabilities = found["probabilities"]
        if self.tta > 1:
            others = (
                self.run(view, batch_size=batch_size)["probabilities"]
                for view in augmented_views(pixels, self.tta)
            )
            probabilities = sum(others, start=probabilities) / np.float32(self.tta)
        judged = self.decide(probabilities)
        if self._ood_scorer is None:
            return judged
        strange = self._ood_scorer.of(pixels, found["features"], found["logits"])
        return replace(
            judged,
            ood_score=strange,
            is_ood=strange >= self._ood_scorer.threshold,
        )

    def same_engine(self, graph: onnx.ModelProto) -> Engine:
        """Start another engine of this one's kind, precision and threads, for another graph."""
        return make_engine(key_of(self._engine), graph, threads=self._engine.threads)

    def predict(self, images: Image | Iterable[Image], *, progress: Progress = silent) -> Predictions:
        """Classify images.

        Parameters
        ----------
        images : array ``[N, bands, H, W]``, or iterable of paths, bytes, Pictures or arrays ``[bands, H, W]``
            Sizes may differ. 8-bit models take 8-bit images. One image alone is taken as a list of one.

        Returns
        -------
        Predictions

        Raises
        ------
        DataError
            If an image cannot be decoded, is none of these, or does not have the model's bands and type.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4:
            return self.answer(images)
        several = _several(images)
        total = len(several) if isinstance(several, Sized) else None
        parts = list(self.stream(_named(several), total=total, progress=progress))
        if not parts:
            raise DataError("there is no image to classify")
        return joined([p for _, p in parts])

    def stream(
        self,
        images: Iterable[tuple[str, Image]],
        *,
        batch_size: int = HELD,
        total: int | None = None,
        progress: Progress = silent,
    ) -> Iterator[tuple[list[str], Predictions]]:
        """Classify named images of any sizes, a batch at a time, in order.

        Parameters
        ----------
        images : iterable of (str, image)
            Images as :meth:`predict` takes them, each with a name for messages.
        batch_size : int
            Images of one size held at a time; fewer if they are large.
        total : int, optional
            How many there will be, if known, for `progress`.

        Yields
        ------
        tuple of list of str and Predictions
            Names, and what the model says of those n images.
        """
        names: list[str] = []
        held: list[npt.NDArray[Any]] = []
        done = 0
        for name, image in images:
            pixels = self.pixels_of(image, name=name)
            if held and (len(held) >= _chunk_size(held[0], batch_size) or pixels.shape != held[0].shape):
                yield names, self.answer(np.stack(held))
                done += len(held)
                progress("classify", done, max(total or 0, done))
                names, held = [], []
            names.append(name)
            held.append(pixels)
        if held:
            yield names, self.answer(np.stack(held))
            done += len(held)
        progress("classify", done, done)

    def pixels_of(self, image: Image, *, name: str) -> npt.NDArray[Any]:
        """The model's bands ``[bands, H, W]`` of one image, in the model's data type."""
        if isinstance(image, np.ndarray):
            pixels = image
        else:
            picture = image if isinstance(image, Picture) else decode(_source(image, name), name=name)
            try:
                pixels = select_bands(picture, self.record.input.bands)
            except DataError as error:
                raise DataError(f"{name}: {error.problem}", fix=error.fix) from error
        wanted = self.record.input.data_type
        if pixels.dtype != wanted:
            raise DataError(
                f"{name} is {pixels.dtype}, model '{self.record.name}' takes {wanted}",
                fix="render reflectance to 8 bit first, with swath.imagery.render_reflectance"
                if wanted == "uint8"
                else "give the numbers as stored, not a picture of them",
            )
        if pixels.ndim != 3 or len(pixels) != len(self.record.input.bands) or 0 in pixels.shape:
            raise DataError(
                f"{name} has shape {pixels.shape}, model '{self.record.name}' takes "
                f"[{len(self.record.input.bands)}, H, W] ({', '.join(self.record.input.bands)})"
            )
        return pixels

    def decide(self, probabilities: npt.NDArray[np.float32]) -> Predictions:
        """Turn probabilities ``[N, K]`` into labels and confidences."""
        return judged(self.record, probabilities)

    def _checked(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        spec = self.record.input
        if pixels.ndim != 4 or pixels.shape[1] != len(spec.bands) or 0 in pixels.shape:
            raise DataError(
                f"pixels have shape {pixels.shape}, model '{self.record.name}' takes "
                f"[N, {len(spec.bands)}, H, W] ({', '.join(spec.bands)})"
            )
        if pixels.dtype != spec.data_type:
            raise DataError(f"pixels are {pixels.dtype}, model '{self.record.name}' takes {spec.data_type}")
        return pixels


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
        1, or 4 (each patch turned by quarters) or 8 (and mirrored): the mean answer is a little better and takes as
        many times as long.

    Raises
    ------
    ModelFileError, SettingError
        If the model, the engine or the number of views cannot be used.

    Examples
    --------
    >>> import swath
    >>> swath.load("eurosat").predict(["field.jpg"]).labels  # doctest: +SKIP
    ['AnnualCrop']
    """
    file = read_model(model)
    started, ran = engine_for(file, engine, threads=threads)
    return Classifier(file, started, ran=ran, tta=tta)


def _several(images: Image | Iterable[Image]) -> Iterable[Image]:
    """A list of one for an image that comes alone; text would otherwise be taken letter by letter."""
    alone = isinstance(images, str | Path | bytes | bytearray | Picture)
    if alone or not isinstance(images, Iterable) or (isinstance(images, np.ndarray) and images.ndim == 3):
        return [cast(Image, images)]
    return cast("Iterable[Image]", images)


def _named(images: Iterable[Image]) -> Iterator[tuple[str, Image]]:
    """Name images for messages: paths by themselves, others by their place."""
    for number, image in enumerate(images):
        yield (str(image) if isinstance(image, str | Path) else f"image {number}"), image


def _source(image: Any, name: str) -> Path | bytes:
    if isinstance(image, bytes):
        return image
    try:
        return Path(image)
    except TypeError as error:
        raise DataError(
            f"{name} is of type {type(image).__name__}, which is no image to swath",
            fix="give a path, bytes, or an array such as numpy.asarray(image).transpose(2, 0, 1)",
        ) from error


def _chunk_size(patch: npt.NDArray[Any], batch_size: int) -> int:
    """Images like `patch` that are held together: `batch_size`, or fewer that fit HELD_BYTES."""
    return max(1, min(batch_size, HELD_BYTES // patch.nbytes))
