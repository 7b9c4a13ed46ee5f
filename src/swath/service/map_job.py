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

from swath.errors import SwathError
from swath.inference import load
from swath.mapping import map_scene

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
    threading.Thread(target=_end_with_input, daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_POLITE)

    def progress(stage: str, done: int, total: int, *, note: str = "") -> None:
        _say(stage=f"{stage} {note}".strip(), done=done, total=total)

    try:
        map_scene(
            load(asked["model"], engine=asked["engine"], threads=asked["threads"]),
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


if __name__ == "__main__":
    main()
