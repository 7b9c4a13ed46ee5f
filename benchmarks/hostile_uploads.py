"""Hostile uploads against ``swath serve``: what each is answered, and the most memory they can make it take.

    python benchmarks/hostile_uploads.py [--short] [--table] [--json FILE]

The uploads are those of the tests (tests/service/hostile.py), one after the other, each followed by a good request;
then all of them at once, by eight clients; then four requests at once of 16 images, each a PNG of a few kilobytes that
unpacks to just under the limit of pixels, which are served, or given up when their time is over. The service has a
model of four colors and its own limits, but for the time (30 s; ``--short``: no such large images).

Memory is the peak of resident memory that Linux keeps for each process. The server's and that of the largest decoder
are compared with what the settings allow: what they take at rest, and on top of that what a decoder may take for an
image, and the server for bodies and decoded images, and as much as a decoder for the image that the engine has.
"""

from __future__ import annotations

import contextlib
import html
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import finish, machine, parser
from serving import ROOT, Served, null_model, serving

from swath.service.decoding import memory_of
from swath.service.settings import ServiceSettings

CLIENTS = 8
AT_ONCE, IMAGES = 4, 16
SIDE = 3999  # pixels; the limit is 16 million of them
INTERVAL = 0.02  # seconds between two looks at the peaks, which decoders that are killed take with them


class Peaks:
    """The most resident memory of each process of a service so far, MiB."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._found: dict[int, float] = {}
        self.look()

    def look(self) -> None:
        """Read them now."""
        for pid in self._served.family():
            with contextlib.suppress(OSError, IndexError):
                status = Path(f"/proc/{pid}/status").read_text()
                self._found[pid] = int(status.partition("VmHWM:")[2].split()[0]) / 1024

    @property
    def server(self) -> float:
        """Of the server."""
        return self._found[self._served.process.pid]

    @property
    def decoder(self) -> float:
        """Of the decoder that took the most, of all that there were."""
        return max(size for pid, size in self._found.items() if pid != self._served.process.pid)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Look again and again while the block runs."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(INTERVAL):
                self.look()

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()
            self.look()

    def shown(self) -> dict[str, float]:
        """Both, rounded."""
        return {"server, MiB": round(self.server), "decoder, MiB": round(self.decoder)}


def shown(text: str) -> str:
    """A sentence as a cell of a Markdown table: what it quotes of an upload is no markup."""
    return html.escape(text, quote=False).replace("|", "&#124;")


def main() -> None:
    """Measure and print."""
    args = parser(__doc__).parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.service.hostile import GOOD, HOSTILE, SLOW, png
    from tests.service.servers import Client

    settings = ServiceSettings()
    uploads = HOSTILE | SLOW
    answers: dict[str, tuple[int, str]] = {}
    result: dict[str, Any] = {"benchmark": "hostile_uploads", "machine": machine(args.threads)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = ["--timeout", "30", "--threads", str(args.threads or machine()["cores"])]
        with serving(null_model(folder), *options, log=folder / "log") as served:
            client = Client(served.port)
            assert client.predict(("good.jpg", GOOD)).status == 200
            peaks = Peaks(served)
            rest = peaks.shown()
            limits = {
                "server, MiB": round(peaks.server + settings.max_memory / 2**20 + memory_of(settings.max_pixels)),
                "decoder, MiB": round(peaks.decoder + memory_of(settings.max_pixels)),
            }
            with peaks.watched():
                for upload, case in uploads.items():
                    answer = case(client)
                    answers[upload] = answer.status, answer.error
                    good = client.predict(("good.jpg", GOOD)).status
                    if not 400 <= answer.status < 500 or good != 200:
                        raise SystemExit(f"{upload}: {answer.status}, and a good request after it {good}")
            one_by_one = peaks.shown()
            with peaks.watched(), ThreadPoolExecutor(CLIENTS) as pool:
                at_once = [answer.status for answer in pool.map(lambda case: case(client), uploads.values())]
            together = peaks.shown()
            bomb = png(SIDE, SIDE, zlib.compress(bytes(SIDE * (3 * SIDE + 1)), 9))
            images = [(f"{n}.png", bomb) for n in range(IMAGES)]
            times = range(0 if args.short else AT_ONCE)
            with peaks.watched(), ThreadPoolExecutor(AT_ONCE) as pool:
                full = [answer.status for answer in pool.map(lambda _: client.predict(*images), times)]
            largest = peaks.shown()
            good = client.predict(("good.jpg", GOOD)).status
            deaths = client.metric("swath_decoder_deaths")
    result |= {
        "at rest": rest,
        "limits": limits,
        "peak, one by one": one_by_one,
        "peak, at once": together,
        "peak, as large as allowed": largest,
        "statuses at once": sorted(at_once),
        "statuses, as large as allowed": full,
        "good request afterwards": good,
        "decoder deaths": deaths,
        "within limits": all(largest[one] <= limits[one] for one in limits),
        "answers": {upload: {"status": status, "sentence": text} for upload, (status, text) in answers.items()},
    }
    table = ["| upload | status | sentence |", "|---|---:|---|"]
    table += [f"| {upload} | {status} | {shown(text)} |" for upload, (status, text) in answers.items()]
    table += ["", "| peak of resident memory, MiB | server | a decoder |", "|---|---:|---:|"]
    for what, found in (
        ("at rest", rest),
        ("one after the other", one_by_one),
        ("and all at once", together),
        ("and requests as large as allowed", largest),
        ("limit", limits),
    ):
        table.append(f"| {what} | {found['server, MiB']:,} | {found['decoder, MiB']:,} |")
    finish(result, args, table=table)


if __name__ == "__main__":
    main()
