"""Two processes that take turns on one core: what the benchmarks against other libraries share."""

import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # of whoever imports this, too

_TURNS = """
import time
step(), step()
while True:
  input()
  begin = time.process_time()  # others on the machine do not count
  step()
  print("seconds", time.process_time() - begin, flush=True)
"""


class Worker:
  """A process that does one step when it is told to.

  Args:
    python: the interpreter.
    source: code that defines step().
    names: words in the code that stand for numbers.
  """

  def __init__(self, python: str, source: str, **names):
    for name, value in names.items():
      source = source.replace(name, str(value))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "JAX_PLATFORMS": "cpu"}
    self.process = subprocess.Popen([python, "-c", source + _TURNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                    env=environment)
    self.step()  # so that it is compiled and warm before another starts

  def step(self) -> float:
    """Seconds of processor time of one step."""
    assert self.process.stdin is not None and self.process.stdout is not None
    self.process.stdin.write("\n")
    self.process.stdin.flush()
    for line in self.process.stdout:
      if line.startswith("seconds"):
        return float(line.split()[1])
    raise SystemExit(f"a worker ended with exit code {self.process.wait()}")


def compare(what: str, peer: str, peer_python: str, theirs: str, ours: str, *, rounds: int, core: int, **names) -> None:
  """Prints the median ratio of a round, the peer's processor time over ours, and the processor.

  Args:
    what: is measured.
    peer: the other library's name.
    peer_python: the interpreter that has it.
    theirs, ours: code that defines step(); see Worker.
    rounds: how many.
    core: where both run.
    **names: see Worker.
  """
  from research import records  # imports jax; the workers have their own
  os.sched_setaffinity(0, {core})  # inherited by the workers
  workers = []
  try:
    for python, source in ((peer_python, theirs), (sys.executable, ours)):
      workers.append(Worker(python, source, **names))
    seconds = [[worker.step() for worker in workers] for _ in range(rounds)]
  finally:
    for worker in workers:
      worker.process.kill()
  ratios = [their / our for their, our in seconds]
  theirs_s, ours_s = (statistics.median(side) for side in zip(*seconds))
  print(f"{records.environment()['cpu']}, {what}: {peer} {theirs_s:.3f} s, ours {ours_s:.3f} s; median ratio of {rounds} "
        f"rounds {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)
