"""What Prometheus is told of a server."""

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
  """Of one server; in no global registry, so that several can live in a process."""

  def __init__(self):
    self.registry = CollectorRegistry()
    counter, gauge, histogram = (functools.partial(kind, registry=self.registry, namespace="fieldwork")
                                 for kind in (Counter, Gauge, Histogram))
    seconds = functools.partial(histogram, buckets=_SECONDS)
    self.requests = counter("requests", "Responses.", ["route", "status"])
    self.request_seconds = seconds("request_seconds", "From a request's head to the end of its response.", ["route"])
    self.inside = gauge("inputs_in_progress", "Inputs that are being prepared, waited for or run.")
    self.waiting = gauge("inputs_waiting", "Inputs that wait for the device.")
    self.held = gauge("body_bytes", "Bytes of requests that are held in memory.")
    self.prepare_seconds = seconds("prepare_seconds", "Decoding, resizing, tokenizing an input.", ["model"])
    self.wait_seconds = seconds("wait_seconds", "The longest wait in a batch.", ["model"])
    self.run_seconds = seconds("run_seconds", "A batch on the device.", ["model"])
    self.batch_size = histogram("batch_size", "Inputs in a batch.", ["model"], buckets=_SIZES)

  def text(self) -> bytes:
    """In Prometheus' text format, version 0.0.4."""
    return generate_latest(self.registry)
