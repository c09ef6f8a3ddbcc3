"""Requests that no friend would send are answered 4xx or not at all, cost no memory, and leave the server as it was."""

import asyncio
import contextlib
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

import hostile
import pytest
from doubles import KINDS, Double, picture
from running import running

HERE = pathlib.Path(__file__).parent


def test_two_hundred_hostile_requests(capfd):
  with running({kind: Double(kind) for kind in KINDS}, idle_seconds=1) as server:
    seen = asyncio.run(hostile.attack(server.port, 1, range(200)))
    assert not seen.harm and sum(seen.statuses.values()) == 200 and seen.statuses[400] > 50
    assert server.ask("/predict", picture())[0] == 200
    end = time.monotonic() + 5
    while server.service._inside or server.service.metrics.held.collect()[0].samples[0].value:
      assert time.monotonic() < end
      time.sleep(0.01)
  assert "Traceback" not in capfd.readouterr().err


@contextlib.contextmanager
def process(*words: str):
  """The doubles' server as a process: itself and its port."""
  server = subprocess.Popen([sys.executable, str(HERE / "doubles.py"), "--port=0", *words], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
  assert server.stderr is not None
  try:
    lines = []
    while not (found := re.search(r"serving .* at http://127.0.0.1:(\d+)", "".join(lines[-1:]))):
      lines.append(server.stderr.readline())
      assert lines[-1], lines
    yield server, int(found[1])
  finally:
    server.kill()
    server.wait()


def memory(pid: int) -> int:
  """MiB that a process holds."""
  return int(re.findall(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[0]) // 1024


@pytest.mark.heavy
def test_ten_thousand_hostile_requests_cost_no_memory():
  with process("--idle_seconds=2") as (server, port):
    asyncio.run(hostile.attack(port, 2, range(500)))  # what is loaded once is loaded
    before = memory(server.pid)
    seen = asyncio.run(hostile.attack(port, 2, range(500, 10_500)))
    assert not seen.harm, seen.harm
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", picture(), {"content-type": "image/png"})
    assert urllib.request.urlopen(request).status == 200
    time.sleep(3)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
      text = response.read().decode()
    assert "inputs_in_progress 0.0" in text and "body_bytes 0.0" in text
    print(f"{dict(seen.statuses)}, {before} MiB before, {memory(server.pid)} MiB after")
    assert memory(server.pid) <= before + 20
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
