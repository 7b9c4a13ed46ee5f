"""The models of a service by name: loaded and warmed before they answer, replaced without a gap."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swath.errors import SettingError
from swath.explain import Explainer, explainer, has_class_evidence
from swath.inference import Classifier, load
from swath.model.file import resolve_model
from swath.service.batching import Batcher

_DIGITS = 12  # of a model file's SHA-256 that name its version
_NAMED = re.compile(r"([\w.-]{1,64})=(.+)")


@dataclass(frozen=True)
class ServedModel:
    """A model that answers.

    Attributes
    ----------
    name : str
        What requests call it.
    source : str
        The file or shipped name it was loaded from, and will be again.
    version : str
        First digits of the file's SHA-256.
    classifier : Classifier
        The loaded model.
    batcher : Batcher
        What runs it.
    explain : Explainer
        What makes maps of its evidence: exact ones where the network allows it, else by occlusion.
    """

    name: str
    source: str
    version: str
    classifier: Classifier
    batcher: Batcher
    explain: Explainer


class Models:
    """Models by name.

    Parameters
    ----------
    sources : sequence of str
        Model files and shipped names, each as it is or as ``NAME=FILE``; without a name it has that of its record.
        The first one answers where no name is given.
    engine, threads
        As for :func:`swath.load`.
    make_batcher : callable
        Starts what runs a classifier.
    """

    def __init__(
        self, sources: Sequence[str], *, engine: str, threads: int | None, make_batcher: Callable[[Classifier], Batcher]
    ) -> None:
        self._sources, self._engine, self._threads, self._make_batcher = sources, engine, threads, make_batcher
        self._served: dict[str, ServedModel] = {}
        self._replacing = asyncio.Lock()

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._served.values())

    def __len__(self) -> int:
        return len(self._served)

    async def load(self) -> None:
        """Load every model and let it classify once.

        Raises
        ------
        SettingError
            If two of them have one name.
        """
        for given in self._sources:
            named = None if Path(given).exists() else _NAMED.fullmatch(given)
            name, source = (named[1], named[2]) if named else (None, given)
            made = await self._loaded(source, name)
            if made.name in self._served:
                made.batcher.close()
                raise SettingError(
                    f"{source} and {self._served[made.name].source} are both called '{made.name}'",
                    fix=f"name one of them, as in --model other={source}",
                )
            self._served[made.name] = made

    @property
    def names(self) -> list[str]:
        """Names of all models, the one that answers by default first."""
        return list(self._served)

    def get(self, name: str | None) -> ServedModel | None:
        """The model of this name, the first one without a name; None if there is none."""
        return next(iter(self._served.values()), None) if name is None else self._served.get(name)

    async def reload(self, name: str) -> ServedModel:
        """Load a model's file again and let it take over; requests that are under way end with the old one.

        Raises
        ------
        SwathError
            If the file cannot be used; the old model stays.
        """
        async with self._replacing:
            old = self._served[name]
            new = await self._loaded(old.source, name)
            self._served[name] = new
            old.batcher.retire()
            return new

    def close(self) -> None:
        """Let every model finish what it has, and wait until it has ended."""
        for one in self:
            one.batcher.close()
        for one in self:
            one.batcher.join()

    async def _loaded(self, source: str, name: str | None) -> ServedModel:
        def work() -> tuple[Classifier, str]:
            path = resolve_model(source)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            classifier = load(source, engine=self._engine, threads=self._threads)
            spec = classifier.record.input
            classifier.answer(np.zeros((1, len(spec.bands), spec.size, spec.size), spec.data_type))
            return classifier, digest[:_DIGITS]

        classifier, version = await asyncio.to_thread(work)
        maps = explainer(classifier, "cam" if has_class_evidence(classifier) else "occlusion")
        batcher = self._make_batcher(classifier)
        return ServedModel(name or classifier.record.name, source, version, classifier, batcher, maps)
