"""The metrics that come from the database. They are read when Prometheus asks, so all processes report the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bookshop.operations.models import LOOPS
from bookshop.operations.repository import Beat


@dataclass(frozen=True)
class Figures:
    """What the database says about the shop at one moment."""

    messages: Mapping[str, int]
    deliveries: Mapping[str, int]
    oldest_unsent: float
    restocks: int
    waiting: int
    stranded: int
    beats: Sequence[Beat]
    last_backup: float  # seconds ago; infinite if there was none


class DatabaseMetrics(Collector):
    """The figures as metrics; without figures, only that the database did not answer."""

    def __init__(self, figures: Figures | None) -> None:
        self.figures = figures

    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "1 if the database answered this scrape, else 0.", int(self.figures is not None))
        if self.figures:
            yield from _metrics_of(self.figures)


def _metrics_of(figures: Figures) -> Iterator[Metric]:
    yield _by_label("messages", "E-mail messages that are queued, being sent or failed.", "state", figures.messages)
    yield _by_label("webhook_deliveries", "Webhook deliveries that are due or failed.", "state", figures.deliveries)
    yield _gauge("oldest_unsent_message_seconds", "Age of the oldest unsent message.", figures.oldest_unsent)
    yield CounterMetricFamily("bookshop_restocks", "Changes of a stock from 0 to more than 0.", figures.restocks)
    yield _gauge("reservations_waiting", "Reservations that wait for their book.", figures.waiting)
    yield _gauge("reservations_stranded", "Waiting reservations that nothing will notify.", figures.stranded)
    ages = {loop: min((beat.age for beat in figures.beats if beat.loop == loop), default=inf) for loop in LOOPS}
    yield _by_label("worker_last_seen_seconds", "Seconds since a worker's loop was last alive.", "loop", ages)
    yield _gauge("last_backup_seconds", "Seconds since the last backup was complete.", figures.last_backup)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"bookshop_{name}", text, value)


def _by_label(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"bookshop_{name}", text, labels=[label])
    for value_of_label, value in values.items():
        family.add_metric([value_of_label], value)
    return family
