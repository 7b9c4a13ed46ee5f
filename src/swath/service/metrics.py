"""Numbers of the service for Prometheus, in a registry of their own."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters, gauges and histograms; one set per service."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time for each number, which no panel shows
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.requests = counter("swath_requests", "Requests answered.", ("route", "status"))
        self.seconds = histogram(
            "swath_request_seconds",
            "Seconds from a request's headers to its answer, of those that were not refused.",
            buckets=_SECONDS,
        )
        self.under_way = gauge("swath_requests_under_way", "Requests let in and not answered yet.")
        self.waiting = gauge("swath_queue_images", "Images that wait.", ("stage",))
        self.held = gauge("swath_held_bytes", "Bytes of bodies and decoded images in memory.")
        self.wait = histogram(
            "swath_queue_wait_seconds", "Seconds a decoded image waits for the engine.", buckets=_SECONDS
        )
        self.batch = histogram("swath_batch_images", "Images per call of the engine.", buckets=_IMAGES)
        self.engine = counter("swath_engine_seconds", "Seconds in the engine.")
        self.predictions = counter("swath_predictions", "Images classified.", ("model", "label"))
        self.ood = counter("swath_ood", "Images unlike the training data.", ("model",))
        self.refused = counter("swath_refused", "Requests refused because the service was busy, with status 429.")
        self.gone = counter("swath_clients_gone", "Requests whose client did not wait for the answer.")
        self.deaths = gauge("swath_decoder_deaths", "Decoding processes that died and were replaced.")
        self.reloads = counter("swath_model_reloads", "Models replaced while serving.", ("model",))

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self.registry)
