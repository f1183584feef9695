"""Prometheus metrics: requests by route and status, counted by each process and added up over all of one server."""

import logging

from flask import Flask, current_app
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bookshop.web import metrics_files

log = logging.getLogger(__name__)

METRICS = "bookshop_metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()  # a time series per counter that nobody asks for


class Metrics:
    """What this process has counted. Under gunicorn the numbers are in files that all its processes share."""

    def __init__(self) -> None:
        if metrics_files.folder() and not getattr(values.ValueClass, "_multiprocess", False):
            values.ValueClass = values.MultiProcessValue()  # the library chose when it was imported
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bookshop_http_requests",
            "Requests that were answered, by route (the URL rule), method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "bookshop_http_request_duration_seconds",
            "The time a thread spent on a request; waiting for a free thread is not included.",
            ["route", "method"],
            registry=self.registry,
        )

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; a full disk is logged and never fails the request."""
        try:
            self.requests.labels(route, method, str(status)).inc()
            self.seconds.labels(route, method).observe(seconds)
        except OSError:
            log.exception("a request could not be counted")

    def text(self, *others: Collector) -> bytes:
        """Return all metrics in Prometheus's text format, those of other collectors last."""
        with metrics_files.locked():
            registry = CollectorRegistry()
            if metrics_files.folder():
                MultiProcessCollector(registry, path=str(metrics_files.folder()))
            else:
                registry.register(self.registry)
            for other in others:
                registry.register(other)
            return generate_latest(registry)


def init_app(app: Flask) -> None:
    app.extensions[METRICS] = Metrics() if app.config["SETTINGS"].metrics_token else None


def current_metrics() -> Metrics | None:
    """Return the application's metrics; None if nothing is counted, because no token allows to read it."""
    metrics: Metrics | None = current_app.extensions[METRICS]
    return metrics
