"""A table of what was answered, if it is asked for: Parquet files to be joined with labels that come later.

A row says when, for which request and by which model an image was classified, the SHA-256 of its bytes (never the bytes
or a name), and what the model said. Rows are gathered and written as a file at a time; one that is killed loses those
it has gathered, the last :data:`ROWS` or :data:`SECONDS` at most.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from swath.errors import SwathError
from swath.files import atomic_file, check_output
from swath.inference.predictions import Prediction
from swath.service.intake import Upload
from swath.service.logs import LOGGER
from swath.service.models import ServedModel

_log = logging.getLogger(LOGGER)
ROWS = 10_000  # in a file at most
SECONDS = 60.0  # until what has been gathered is written
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", tz="UTC")),
        ("request_id", pa.string()),
        ("model", pa.string()),
        ("version", pa.string()),
        ("sha256", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("is_ood", pa.bool_()),
        ("ood_score", pa.float32()),
        ("probabilities", pa.map_(pa.string(), pa.float32())),
    ]
)


class PredictionLog:
    """Rows on their way to ``predictions-TIME.parquet`` files in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Where the files go; made if it is not there.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        check_output(folder / "predictions.parquet", overwrite=True)
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._writing = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Write what has been gathered from time to time, on this loop."""
        self._task = asyncio.create_task(self._write_regularly())

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self.write)

    def add(self, request_id: str, model: ServedModel, uploads: Sequence[Upload], found: Sequence[Prediction]) -> None:
        """Gather the rows of one answer."""
        now = datetime.now(UTC)
        for upload, one in zip(uploads, found, strict=True):
            self._rows.append(
                {
                    "time": now,
                    "request_id": request_id,
                    "model": model.name,
                    "version": model.version,
                    "sha256": hashlib.sha256(upload.data).hexdigest(),
                    "label": one.label,
                    "confidence": one.confidence,
                    "is_ood": one.is_ood,
                    "ood_score": one.ood_score,
                    "probabilities": list(one.probabilities.items()),
                }
            )

    def write(self) -> None:
        """Write what has been gathered as one file; a full disk is said in the log, and the rows are kept."""
        with self._writing:
            rows = self._rows[:ROWS]
            if not rows:
                return
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            try:
                with atomic_file(self._folder / f"predictions-{stamp}.parquet") as path:
                    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")
            except (OSError, SwathError) as error:
                _log.error("prediction_log_not_written", extra={"facts": {"reason": str(error)}})
                del self._rows[: -10 * ROWS]  # and memory stays bounded
                return
            del self._rows[: len(rows)]

    async def _write_regularly(self) -> None:
        waited = 0.0
        while True:
            await asyncio.sleep(1.0)
            waited += 1.0
            if len(self._rows) >= ROWS or waited >= SECONDS:
                waited = 0.0
                await asyncio.to_thread(self.write)
