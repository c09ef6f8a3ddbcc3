"""Bundles behind a queue: what every protocol asks, one input after another."""

import asyncio
import base64
import concurrent.futures
import dataclasses
import functools
import io
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from research import process
from research.application.batching import Batcher, Lane, Ran
from research.application.limits import Limits
from research.application.metrics import Metrics
from research.application.refusals import Refusal, busy
from research.application.runtime import Bundle, Prepared
from research.application.settings import Serve

_T = TypeVar("_T")
_QUICK = 1 << 16  # bytes: parsed in a fraction of a millisecond


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What became of one input.

  Attributes:
    value: the bundle's answer.
    explanation: what `Bundle.explain` says; None where it was not asked.
    picture: what of an image the network sees, as a data: address; None where it was not asked or is no image.
    prepare: seconds on the host.
    wait: seconds in the queue.
    run: seconds of the batch on the device.
    batch: inputs in it.
  """

  value: dict
  explanation: dict | None = None
  picture: str | None = None
  prepare: float
  wait: float
  run: float
  batch: int


class Service:
  """Bundles by name, a pool of threads for the host's work, and the one thread for the device's.

  Attributes:
    bundles: by name.
    settings: the server's.
    metrics: counted as it goes.
    draining: whether it is about to end: what comes still is answered.
  """

  def __init__(self, bundles: Mapping[str, Bundle], settings: Serve):
    self.bundles, self.settings = dict(bundles), settings
    self.metrics = Metrics()
    self.draining = False
    self._names = {id(bundle): name for name, bundle in self.bundles.items()}
    self._limits = {name: Limits.of(settings, bundle.spec["inputs"]["limits"]) for name, bundle in self.bundles.items()}
    self._pool = concurrent.futures.ThreadPoolExecutor(settings.threads or process.cores(), "host")
    self._batcher = Batcher(self._observe)
    self._inside = 0
    self.metrics.waiting.set_function(lambda: self._batcher.num_waiting)
    self.metrics.inside.set_function(lambda: self._inside)

  def bundle(self, name: str | None) -> tuple[str, Bundle]:
    """The one that is meant; without a name, the first. Raises Refusal (404)."""
    if name is None:
      return next(iter(self.bundles.items()))
    if name not in self.bundles:
      raise Refusal(404, f"there is no model {name[:80]!r}; there are {', '.join(self.bundles)}")
    return name, self.bundles[name]

  async def on_host(self, function: Callable[..., _T], *arguments) -> _T:
    """Runs a function in the pool."""
    return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

  async def parse(self, size: int, function: Callable[..., _T], *arguments) -> _T:
    """Reads a body of so many bytes: in the pool if that takes so long that others would notice."""
    return function(*arguments) if size < _QUICK else await self.on_host(function, *arguments)

  async def answer(self, name: str, value: bytes | str, options: dict[str, Any], *, explain: bool = False,
                   target: str | int | None = None) -> Answer:
    """The answer to one input.

    Args:
      name: the bundle's.
      value: a file's bytes, or a text.
      options: for `Bundle.prepare`.
      explain: whether to say why, too.
      target: the label that is asked about; None for the answer.

    Raises:
      Refusal: too large, or no room.
      BadInput: from the bundle.
    """
    if self._inside >= self.settings.queue:
      raise busy(f"{self._inside} inputs are being answered, more than that are not taken")
    self._inside += 1
    try:
      return await self._answer(name, value, options, explain, target)
    finally:
      self._inside -= 1

  async def answers(self, name: str, values: list, options: dict[str, Any], **more) -> list[Answer]:
    """The answers to several inputs, in order. If one cannot be answered, none is: raises what `answer` raises."""
    if len(values) > self.settings.inputs:
      raise Refusal(413, f"{len(values)} inputs in a request: at most {self.settings.inputs} are allowed")
    if len(values) == 1:
      return [await self.answer(name, values[0], options, **more)]
    try:
      async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(self.answer(name, value, options, **more)) for value in values]
    except ExceptionGroup as errors:
      raise errors.exceptions[0] from None
    return [task.result() for task in tasks]

  async def _answer(self, name: str, value: bytes | str, options: dict, explain: bool, target: str | int | None) -> Answer:
    bundle = self.bundles[name]
    begin = time.perf_counter()
    prepared = await self.on_host(self._prepare, name, value, options)
    seconds = time.perf_counter() - begin
    self.metrics.prepare_seconds.labels(name).observe(seconds)
    ran = await self._batcher.run(Lane(bundle.run, bundle.shape(prepared), tuple(bundle.spec["batch_sizes"])), prepared)
    explanation = picture = None
    if explain:
      call = functools.partial(_explained, bundle, target)
      explanation = (await self._batcher.run(Lane(call, None, (1,)), prepared)).answer
      if bundle.spec["inputs"]["type"] == "image":
        picture = await self.on_host(seen, prepared)
    return Answer(value=ran.answer, explanation=explanation, picture=picture, prepare=seconds, wait=ran.wait, run=ran.run,
                  batch=ran.batch)

  def _prepare(self, name: str, value: bytes | str, options: dict) -> Prepared:
    bundle = self.bundles[name]
    self._limits[name].check(value, bundle.spec["inputs"]["type"])
    return bundle.prepare(value, **options)

  def _observe(self, lane: Lane, ran: Ran) -> None:
    name = self._names.get(id(getattr(lane.call, "__self__", None)))
    if name is not None:
      self.metrics.wait_seconds.labels(name).observe(ran.wait)
      self.metrics.run_seconds.labels(name).observe(ran.run)
      self.metrics.batch_size.labels(name).observe(ran.batch)

  def close(self) -> None:
    """Ends its threads."""
    self._pool.shutdown()
    self._batcher.close()


def _explained(bundle: Bundle, target: str | int | None, inputs: list[Prepared]) -> list[dict]:
  return [bundle.explain(item, target) for item in inputs]


def seen(prepared: Prepared) -> str | None:
  """A prepared image as a PNG in a data: address, as large as the network reads it; None where no feature is an image."""
  images = [array for array in prepared.features.values() if array.ndim == 3 and array.shape[-1] in (1, 3)]
  if not images:
    return None
  image = images[0]
  if image.dtype != np.uint8:  # normalized on the host: only the contrast is known
    low, high = float(image.min()), float(image.max())
    image = ((image - low) * (255 / (high - low) if math.isfinite(high - low) and high > low else 0)).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
  return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
