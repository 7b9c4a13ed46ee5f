"""A process that makes one map for the service: ``python -m swath.service.map_job JSON``.

It reports its progress as JSON lines on standard output and ends with its standard input: so none outlives the service,
and the one that a restarted service starts finds nobody else at work.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from typing import Any

from swath.errors import DataError, SwathError
from swath.inference import load
from swath.machine import go_offline, limit_memory
from swath.mapping import map_scene
from swath.mapping.reader import open_scene

_POLITE = 10  # how much predictions come before maps


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make the map that the first argument describes; exit status 2 and one sentence if it cannot be made."""
    asked = json.loads(sys.argv[1])
    go_offline()  # nothing that a scene or its reference system names is looked up elsewhere
    threading.Thread(target=_end_with_input, daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_POLITE)

    def progress(stage: str, done: int, total: int, *, note: str = "") -> None:
        _say(stage=f"{stage} {note}".strip(), done=done, total=total)

    try:
        _check_size(asked["scene"], asked["max_pixels"])
        model = load(asked["model"], engine=asked["engine"], threads=asked["threads"])
        limit_memory(asked["max_memory"])
        map_scene(
            model,
            asked["scene"],
            out=asked["out"],
            stride=asked["stride"],
            rescale=asked["rescale"],
            name="the scene",
            overwrite=True,
            progress=progress,
        )
    except SwathError as error:
        # Where the scene lies on this machine is nobody's business.
        _say(error=str(error).replace(asked["scene"], "the scene"))
        sys.exit(2)
    except MemoryError:
        _say(error="the scene takes more memory than a map may; cut it into narrower ones, or map it with swath map")
        sys.exit(2)


def _check_size(scene: str, most: int) -> None:
    """Refuse a scene of more pixels than maps are made of: a file of few bytes may say it has any number."""
    with open_scene(scene) as opened:
        pixels = opened.width * opened.height
    if pixels > most:
        raise DataError(
            f"the scene has {pixels:,} pixels and the service maps {most:,} at most",
            fix="cut it into several, map it with swath map, or raise --max-scene-pixels",
        )


if __name__ == "__main__":
    main()
