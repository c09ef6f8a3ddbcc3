"""What the server adds to the compiled function, and how much of its throughput is left; LitServe beside it, in turns.

    python tests/benchmarks/serving.py [--peer_python=/an/environment/with/litserve/and/jax/bin/python] [--widths=8,32,96]

A convolutional network of 64 x 64 pixels, in several widths; requests are PNG files. Latency: one client, one request after
another, less the median of the compiled function at batch 1. Throughput: 64 connections that never rest, over the function at
the largest batch size alone. Client, server and network share the machine's cores, so all that the server does is at the
network's expense. Rounds are interleaved; medians are printed.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDE, SIZES, CONNECTIONS = 64, (1, 2, 4, 8, 16), 64


class Network:
  """What a bundle has, over a network of random weights; both servers are given it."""

  def __init__(self, width: int):
    import jax
    import jax.numpy as jnp
    import numpy as np

    self.spec = {"format": 1, "name": "network", "title": "Network", "kind": "image-classification", "batch_sizes": list(SIZES),
                 "inputs": {"field": "record", "type": "image", "limits": {}}, "options": {}, "explains": None, "labels": []}
    self.card, self.folder = "", "network"
    widths = (3, width, 2 * width, 4 * width)
    keys = jax.random.split(jax.random.key(0), 4)
    kernels = [jax.random.normal(k, (3, 3, a, b)) * (9 * a) ** -0.5 for k, a, b in zip(keys, widths, widths[1:])]
    head = jax.random.normal(keys[3], (widths[-1], 10)) * widths[-1] ** -0.5

    def forward(images):
      x = images.astype(jnp.float32) / 255
      for kernel in kernels:
        x = jax.nn.relu(jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
      return jax.nn.softmax(x.mean((1, 2)) @ head)

    spec = lambda size: jax.ShapeDtypeStruct((size, SIDE, SIDE, 3), np.uint8)
    self.compiled = {size: jax.jit(forward).lower(spec(size)).compile() for size in SIZES}

  def prepare(self, value: bytes):
    """Pixels, (64, 64, 3)."""
    import cv2
    import numpy as np

    return cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR_RGB)

  def shape(self, prepared) -> int:
    """There is one shape."""
    return 0

  def batch(self, inputs: list, size: int):
    """Inputs and padding, stacked."""
    import numpy as np

    return np.stack([*inputs, *[inputs[0]] * (size - len(inputs))])

  def run(self, inputs: list) -> list[dict]:
    """Probabilities."""
    import numpy as np

    size = next(size for size in SIZES if size >= len(inputs))
    found = np.asarray(self.compiled[size](self.batch(inputs, size)))[:len(inputs)]
    return [{"labels": row} for row in found.tolist()]

  programs = ()  # it is compiled already


def picture() -> bytes:
  """A PNG of noise upon a gradient."""
  import numpy as np
  from PIL import Image

  pixels = np.random.default_rng(0).integers(0, 64, (SIDE, SIDE, 3)) + np.arange(SIDE)[:, None, None] * 2
  file = io.BytesIO()
  Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
  return file.getvalue()


# --- the server ------------------------------------------------------------------------------------------------------


def serve_ours(width: int, port: int) -> None:
  """Until SIGTERM."""
  sys.path.insert(0, str(ROOT))
  import threading
  from typing import Any

  from research.application.server import serve
  from research.application.settings import Serve

  ended, network = threading.Event(), Network(width)
  signal.signal(signal.SIGTERM, lambda *_: ended.set())
  bundles: Any = {"network": network}
  serve(bundles, Serve(port=port), ended.is_set)


# --- the client -------------------------------------------------------------------------------------------------------


class Client(asyncio.Protocol):
  """Sends a request, reads its answer, sends the next."""

  def __init__(self, request: bytes, seconds: list[float]):
    self._request, self._seconds, self._data, self._need = request, seconds, b"", 0

  def connection_made(self, transport) -> None:
    self._transport = transport
    self._send()

  def _send(self) -> None:
    self._data, self._need, self._begin = b"", 0, time.perf_counter()
    self._transport.write(self._request)

  def data_received(self, data: bytes) -> None:
    self._data += data
    if not self._need:
      end = self._data.find(b"\r\n\r\n")
      if end < 0:
        return
      assert self._data.startswith(b"HTTP/1.1 200"), self._data[:300]
      self._need = end + 4 + int(re.search(rb"content-length: (\d+)", self._data[:end], re.I)[1])
    if len(self._data) >= self._need:
      self._seconds.append(time.perf_counter() - self._begin)
      self._send()


async def load(port: int, request: bytes, seconds: float, connections: int) -> tuple[list[float], float]:
  """Latencies, and requests a second."""
  loop, found = asyncio.get_running_loop(), []
  open_ = [await loop.create_connection(lambda: Client(request, found), "127.0.0.1", port) for _ in range(connections)]
  await asyncio.sleep(0.3)
  num, begin = len(found), time.perf_counter()
  await asyncio.sleep(seconds)
  rate = (len(found) - num) / (time.perf_counter() - begin)
  for transport, _ in open_:
    transport.abort()
  await asyncio.sleep(0.2)
  return found[num:], rate


def request_of(kind: str) -> bytes:
  """One request as each server reads it."""
  data, path, about = picture(), "/predict", "image/png"
  if kind == "litserve":
    data, about = b'{"data": "' + base64.b64encode(data) + b'"}', "application/json"
  return (f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {about}\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


def bare(network: Network, seconds: float) -> tuple[float, float]:
  """Median seconds of the compiled function at batch 1, and inputs a second at the largest batch."""
  import numpy as np

  image = network.prepare(picture())
  one, many, times, num = network.batch([image], 1), network.batch([image] * SIZES[-1], SIZES[-1]), [], 0
  for _ in range(200):
    begin = time.perf_counter()
    np.asarray(network.compiled[1](one))
    times.append(time.perf_counter() - begin)
  begin = time.perf_counter()
  while time.perf_counter() - begin < seconds:
    np.asarray(network.compiled[SIZES[-1]](many))
    num += SIZES[-1]
  return statistics.median(times), num / (time.perf_counter() - begin)


@contextlib.contextmanager
def started(python: str, kind: str, width: int):
  """A server's port, once it answers."""
  with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
  file = __file__ if kind == "ours" else str(pathlib.Path(__file__).with_name("serving_peer.py"))
  process = subprocess.Popen([python, file, f"--widths={width}", f"--port={port}", "--serve"],
                             stdout=subprocess.DEVNULL, stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
                             start_new_session=True)
  end = time.monotonic() + 120
  try:
    while not answers(port, request_of(kind)):
      assert time.monotonic() < end, f"{kind} does not start; VERBOSE=1 shows why"
      time.sleep(0.5)
    yield port
  finally:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(port: int, request: bytes) -> bool:
  """Whether there is a server yet."""
  try:
    return bool(asyncio.run(load(port, request, 0.5, 1))[0])
  except ConnectionError:
    return False


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--peer_python")
  parser.add_argument("--widths", default="8,32,96")
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--seconds", type=float, default=2.0)
  parser.add_argument("--serve", action="store_true")
  parser.add_argument("--port", type=int)
  flags = parser.parse_args()
  widths = [int(width) for width in flags.widths.split(",")]
  if flags.serve:
    return serve_ours(widths[0], flags.port)
  cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
  print(f"{cpu[1] if cpu else 'unknown processor'}, {os.cpu_count()} cores")
  for width in widths:
    kinds = {"ours": sys.executable, **({"litserve": flags.peer_python} if flags.peer_python else {})}
    with contextlib.ExitStack() as stack:
      ports = {kind: stack.enter_context(started(python, kind, width)) for kind, python in kinds.items()}
      measure(Network(width), ports, width, flags)


def measure(network: Network, ports: dict[str, int], width: int, flags) -> None:
  """Prints a width's figures."""
  for kind, port in ports.items():  # before anything counts
    asyncio.run(load(port, request_of(kind), 0.5, CONNECTIONS))
  functions, rates, latencies, shares = [], [], {k: [] for k in ports}, {k: [] for k in ports}
  for _ in range(flags.rounds):
    one, rate = bare(network, flags.seconds / 2)
    functions.append(one)
    rates.append(rate)
    for kind, port in ports.items():
      latencies[kind].append(asyncio.run(load(port, request_of(kind), flags.seconds, 1))[0])
      shares[kind].append(asyncio.run(load(port, request_of(kind), flags.seconds, CONNECTIONS))[1] / rate)
  print(f"width {width}: the function {1e3 * statistics.median(functions):.2f} ms at batch 1, "
        f"{statistics.median(rates):,.0f} a second at batch {SIZES[-1]}")
  for kind in ports:
    median = statistics.median(statistics.median(each) - one for each, one in zip(latencies[kind], functions))
    late = statistics.median(sorted(each)[int(0.99 * len(each))] - one
                             for each, one in zip(latencies[kind], functions))
    share = statistics.median(shares[kind])
    print(f"  {kind}: adds {1e3 * median:.2f} ms at the median, {1e3 * late:.2f} at the 99th percentile; {100 * share:.0f} % "
          f"of the function's throughput ({min(shares[kind]):.2f} to {max(shares[kind]):.2f})")
  if len(ports) > 1:
    ratios = [a / b for a, b in zip(shares["ours"], shares["litserve"])]
    print(f"  ours over LitServe: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
  main()
