"""The service under load, on loopback: throughput, latency, refusals, memory, and what signals do.

    python benchmarks/service_load.py [--short] [--threads N] [--seconds S] [--connections N] [--table] [--json FILE]

Each connection sends one 64-px JPEG per request and the next one when it has its answer (closed loop), first to a
server with a model of four colors that costs next to nothing, then to the same server with the shipped model; the
engine alone is measured before and after. Then the server gets twice the rate it had, whatever it answers (open loop),
and the closed loop again: what the flood is compared with was measured before and after it, so that a machine that
becomes slower or faster meanwhile tells on both. Then a decoder is killed under load, and the server is told to stop
under load. What must hold is printed with what was measured; `python -m pytest -m soak tests/service` asks for all of
it on a machine that does nothing else.

Memory is watched in the second closed loop: it grows by steps with the first ten thousand requests, each time that more
is held at once than ever before, and then stays.

Client, server and decoders share this machine's cores, so rates are lower than those of the server alone. The client
speaks HTTP itself, in as few steps as it can.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import signal
import statistics
import tempfile
import time
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import finish, machine, parser, rows
from serving import Served, null_model, serving

import swath
from swath.data import shipped_path
from swath.imagery import decode

IMAGES = 256
CALM = 3.0  # seconds of closed loop after the flood, in which the last refusal is looked for
LOADS = ("null model", "closed loop", "open loop", "after the flood", "decoder killed", "SIGTERM")
GONE = 499  # in a server's log: the client did not get its answer


@dataclass
class Tally:
    """What a load got back."""

    seconds: list[float] = field(default_factory=list)  # of requests with status 200
    statuses: Counter[int] = field(default_factory=Counter)
    retry_after: int = 0  # refusals that said when to come again
    lost: int = 0  # requests whose connection ended without an answer
    sent: int = 0
    span: float = 0.0  # seconds the load ran
    ended: float = 0.0  # when no more requests were sent
    first_answer: float = math.inf  # when the first one with status 200 came
    last_refusal: float = -math.inf

    def __add__(self, other: Tally) -> Tally:
        """Two loads of one kind as one."""
        return Tally(
            self.seconds + other.seconds,
            self.statuses + other.statuses,
            self.retry_after + other.retry_after,
            self.lost + other.lost,
            self.sent + other.sent,
            self.span + other.span,
        )

    def summary(self) -> dict[str, Any]:
        """Rates and latencies."""
        ordered = sorted(self.seconds) or [float("nan")]
        return {
            "per second": round(len(self.seconds) / self.span, 1) if self.span else 0.0,
            "p50 ms": round(1000 * statistics.median(ordered), 1),
            "p99 ms": round(1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
            "statuses": dict(sorted(self.statuses.items())),
            "429 with Retry-After": self.retry_after,
            "lost": self.lost,
        }


class Connection(asyncio.Protocol):
    """One kept-alive connection; `answered` is called after every answer, or when the connection ends."""

    def __init__(self, tally: Tally, answered: Callable[[Connection, bool], None]) -> None:
        self.tally, self.answered = tally, answered
        self.transport: asyncio.Transport
        self.busy = self.closed = False
        self._start, self._held, self._needed = 0.0, b"", -1

    def connection_made(self, transport: Any) -> None:
        """Keep what bytes are written to."""
        self.transport = transport

    def send(self, request: bytes, *, due: float | None = None) -> None:
        """Send one request; its latency counts from when it was due."""
        self.busy = True
        self._start = due or time.perf_counter()
        self.tally.sent += 1
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and count the answer when it is whole."""
        self._held = held = self._held + data if self._held else data
        if self._needed < 0:
            end = held.find(b"\r\n\r\n")
            if end < 0:
                return
            place = held.find(b"content-length: ")
            self._needed = end + 4 + int(held[place + 16 : held.index(b"\r", place)])
        if len(held) < self._needed:
            return
        status = int(held[9:12])
        self.tally.statuses[status] += 1
        now = time.perf_counter()
        if status == 200:
            self.tally.seconds.append(now - self._start)
            self.tally.first_answer = min(self.tally.first_answer, now)
        elif status == 429:
            self.tally.last_refusal = now
            self.tally.retry_after += b"\r\nretry-after: " in held[: self._needed].lower()
        alive = b"\r\nconnection: close" not in held[: self._needed].lower()
        self._held, self._needed, self.busy = b"", -1, False
        if alive:
            self.answered(self, True)

    def connection_lost(self, _: Exception | None) -> None:
        """Count a request that got no answer."""
        self.closed = True
        if self.busy:
            self.tally.lost += 1
        self.busy = False
        self.answered(self, False)


def request_of(image: bytes) -> bytes:
    """A request that uploads one image as a browser or curl does."""
    body = (
        b'--load\r\nContent-Disposition: form-data; name="images"; filename="patch.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + image + b"\r\n--load--\r\n"
    )
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=load\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def closed_loop(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Tally:
    """Each connection sends its next request when it has the answer to its last."""
    tally = Tally()
    supply = itertools.cycle(requests)
    until = time.perf_counter() + seconds
    idle = asyncio.Event()
    left = connections

    def answered(connection: Connection, alive: bool) -> None:
        nonlocal left
        if alive and time.perf_counter() < until:
            connection.send(next(supply))
            return
        if alive:
            connection.transport.close()
            return
        left -= 1
        if not left:
            idle.set()

    opened = await _connect(port, connections, tally, answered)
    start = time.perf_counter()
    for connection in opened:
        connection.send(next(supply))
    await asyncio.wait_for(idle.wait(), seconds + 30)
    tally.span = time.perf_counter() - start
    return tally


async def open_loop(port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int) -> Tally:
    """Send at a rate, whatever comes back; a request without a free connection counts as lost."""
    tally = Tally()
    free: deque[Connection] = deque()

    def answered(connection: Connection, alive: bool) -> None:
        if alive:
            free.append(connection)

    opened = await _connect(port, connections, tally, answered)
    free.extend(opened)
    supply = itertools.cycle(requests)
    start = time.perf_counter()
    sent = 0
    while (now := time.perf_counter() - start) < seconds:
        while sent < now * rate:
            while free and free[0].closed:
                free.popleft()
            if free:
                free.popleft().send(next(supply), due=start + sent / rate)
            else:
                tally.lost += 1
            sent += 1
        await asyncio.sleep(0.002)
    tally.ended = time.perf_counter()
    for _ in range(1000):
        if not any(one.busy for one in opened):
            break
        await asyncio.sleep(0.01)
    tally.span = time.perf_counter() - start
    for connection in opened:
        connection.transport.close()
    return tally


async def _connect(port: int, n: int, tally: Tally, answered: Callable[[Connection, bool], None]) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(tally, answered), "127.0.0.1", port) for _ in range(n)]
    return [connection for _, connection in made]


class Watch:
    """Samples a server's memory every half second while a load runs."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.times: list[float] = []
        self.sizes: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.times.append(time.perf_counter())
            self.sizes.append(self._served.resident())
            await asyncio.sleep(0.5)

    def slope(self) -> dict[str, Any]:
        """Least-squares slope over the samples, and whether it is within the noise.

        Neighboring samples are alike, so the standard error is that of as many independent ones as they are worth, by
        the correlation of residuals with the next one. Within the noise is a slope of at most two standard errors.
        """
        times, sizes = np.array(self.times) / 60, np.array(self.sizes)
        if len(times) < 4:
            return {}
        slope, start = np.polyfit(times, sizes, 1)
        rest = sizes - (slope * times + start)
        squares = float(rest @ rest)
        correlation = min(0.99, max(0.0, float(rest[1:] @ rest[:-1]) / squares)) if squares > 0 else 0.0
        error = math.sqrt(squares / (len(times) - 2) / float(np.sum((times - times.mean()) ** 2)))
        error *= math.sqrt((1 + correlation) / (1 - correlation))
        return {
            "MiB per minute": round(float(slope), 2),
            "standard error": round(error, 2),
            "within noise": bool(slope <= 2 * error),
            "MiB": round(sizes[-1], 1),
        }


async def watched(served: Served, load: Any) -> tuple[Tally, dict[str, Any]]:
    """Run a load and watch memory meanwhile."""
    watch = Watch(served)
    task = asyncio.create_task(watch.run())
    tally = await load
    task.cancel()
    return tally, watch.slope()


def engine_rate(pixels: np.ndarray, *, threads: int | None, seconds: float) -> float:
    """Patches per second of the engine alone, given 64 at a time."""
    classifier = swath.load("eurosat", threads=threads)
    classifier.answer(pixels)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        classifier.answer(pixels)
        done += len(pixels)
    return done / (time.perf_counter() - start)


async def killed_decoder(served: Served, requests: Sequence[bytes], *, connections: int, seconds: float) -> Tally:
    """Kill one decoder in the middle of a load."""
    load = asyncio.create_task(closed_loop(served.port, requests, connections=connections, seconds=seconds))
    await asyncio.sleep(seconds / 2)
    os.kill(served.family()[-1], signal.SIGKILL)
    return await load


async def terminated(served: Served, requests: Sequence[bytes], *, connections: int, seconds: float) -> Tally:
    """Tell the server to stop in the middle of a load.

    It closes connections that wait for their next request, and one may be on its way just then: that counts as lost
    here and was never let in, so whether the server keeps its word is seen in its log (:func:`logged_statuses`).
    """
    load = asyncio.create_task(closed_loop(served.port, requests, connections=connections, seconds=seconds))
    await asyncio.sleep(seconds / 2)
    served.process.terminate()
    return await load


def logged_statuses(log: Path) -> Counter[int]:
    """How a server says it answered predictions, by status: what it never let in is not there."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return Counter(line["status"] for line in lines if line.get("route") == "/v1/predict")


def bars(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What must hold, what was measured and whether it holds."""
    closed, flood, memory = result["closed loop"], result["open loop"], result["memory"]
    loads = [result[load]["statuses"] for load in LOADS]
    failed = sum(count for statuses in loads for status, count in statuses.items() if status >= 500)
    rate, least = closed["per second"], result["bar, per second"]
    found = {"answers per second": {"measured": rate, "bar": f"{least:g} or more", "holds": rate >= least}}

    def most(name: str, measured: float, bar: float) -> None:
        found[name] = {"measured": round(measured, 3), "bar": f"{bar:g} at most", "holds": measured <= bar}

    most("p99, ms", closed["p99 ms"], 500)
    most("answers of status 500 and above", failed, 0)
    most("refusals of the closed loop", closed["statuses"].get(429, 0), 0)
    if memory:  # of a load long enough
        most("growth of memory, MiB per minute", memory["MiB per minute"], round(2 * memory["standard error"], 2))
    most("p99 in the flood, relative to that before", flood["p99 ms"] / closed["p99 ms"], 1.25)
    most("refusals without Retry-After", flood["statuses"].get(429, 0) - flood["429 with Retry-After"], 0)
    most("seconds from the flood to no refusal", result["seconds from the flood to no refusal"], 2)
    most("requests lost with a decoder", result["decoder killed"]["lost"], 1)
    most("let in and not answered on SIGTERM", result["let in and not answered"], 0)
    return found


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument(
        "--seconds", type=float, default=None, help="of each closed loop; by default 60, or 5 if short"
    )
    options.add_argument("--connections", type=int, default=64)
    args = options.parse_args()
    seconds = args.seconds or (5.0 if args.short else 60.0)
    with zipfile.ZipFile(shipped_path("eurosat-mini")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][::10][:IMAGES]
        images = [archive.read(name) for name in names]
    requests = [request_of(image) for image in images]
    pixels = np.stack([decode(image, name="patch").pixels for image in images[:64]])
    serve_options = ["--threads", str(args.threads)] if args.threads else []
    before = engine_rate(pixels, threads=args.threads, seconds=seconds / 6)
    result: dict[str, Any] = {"benchmark": "service_load", "machine": machine(args.threads)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(null_model(folder), *serve_options, log=folder / "null.log") as served:
            null = asyncio.run(closed_loop(served.port, requests, connections=args.connections, seconds=seconds))
        with serving("eurosat", *serve_options, log=folder / "serve.log") as served:
            load = partial(closed_loop, served.port, requests, connections=args.connections)
            first = asyncio.run(load(seconds=seconds))
            rate = 2 * first.summary()["per second"]
            flood = asyncio.run(
                open_loop(served.port, requests, rate=rate, seconds=seconds / 2, connections=16 * args.connections)
            )
            calm = asyncio.run(load(seconds=CALM))
            recovered = max(calm.first_answer, calm.last_refusal) - flood.ended
            second, memory = asyncio.run(watched(served, load(seconds=seconds)))
            closed = first + second
            kill = asyncio.run(killed_decoder(served, requests, connections=args.connections, seconds=min(seconds, 10)))
            stop = asyncio.run(terminated(served, requests, connections=args.connections, seconds=min(seconds, 10)))
            status = served.process.wait(60)
        logged = logged_statuses(folder / "serve.log")
    answered = sum((tally.statuses for tally in (closed, flood, calm, kill, stop)), Counter())
    unanswered = logged.total() - sum(answered[number] for number in logged) + logged[GONE]
    after = engine_rate(pixels, threads=args.threads, seconds=seconds / 6)
    engine = (before + after) / 2
    bar = min(0.6 * engine, 0.8 * null.summary()["per second"])
    result |= {
        "engine patches per second": round(engine, 1),
        "null model": null.summary(),
        "closed loop": closed.summary(),
        "bar, per second": round(bar, 1),
        "memory": memory,
        "open loop": {"rate": rate, **flood.summary()},
        "after the flood": calm.summary(),
        "seconds from the flood to no refusal": round(recovered, 3),
        "decoder killed": kill.summary(),
        "SIGTERM": {**stop.summary(), "exit status": status},
        "let in and not answered": unanswered,
    }
    result["bars"] = bars(result)
    body = [
        ("engine alone, 64 at a time", f"{engine:,.0f}", "", "", "", ""),
        *(
            (
                label,
                f"{said['per second']:,.0f}",
                said["p50 ms"],
                said["p99 ms"],
                " ".join(f"{number}: {count:,}" for number, count in said["statuses"].items()),
                said["lost"],
            )
            for label, said in (
                ("null model, closed loop", null.summary()),
                ("eurosat, closed loop", closed.summary()),
                (f"eurosat, {rate:,.0f} a second sent", flood.summary()),
                ("closed loop, 3 s from then on", calm.summary()),
                ("a decoder killed", kill.summary()),
                ("SIGTERM", stop.summary()),
            )
        ),
    ]
    table = rows(("load", "answers per second", "p50 ms", "p99 ms", "statuses", "lost"), body)
    held = [(name, said["measured"], said["bar"], said["holds"]) for name, said in result["bars"].items()]
    table += ["", *rows(("what must hold", "measured", "bar", "holds"), held)]
    finish(result, args, table=table)


if __name__ == "__main__":
    main()
