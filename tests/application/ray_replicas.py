"""Two replicas under Ray Serve answer under load while one of them is killed; in an environment with Ray:

    pip install "ray[serve]" '.[serve]'
    python tests/application/ray_replicas.py BUNDLE FILE

Every client asks again where its replica died under it. At the end every request has its answer, and both replicas are back.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import ray
from ray import serve

from research.application.ray_app import build

CLIENTS, SECONDS = 4, 20


def replicas() -> set[int]:
  """Process ids."""
  lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
  return {int(line.split()[0]) for line in lines if "ray::ServeReplica:default:bundles" in line}


def main(bundle: str, file: str) -> int:
  data = pathlib.Path(file).read_bytes()
  environment = {"env_vars": {"PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[2])}}
  ray.init(num_cpus=4, include_dashboard=False, runtime_env=environment)
  serve.start(http_options={"host": "127.0.0.1", "port": 8199})
  serve.run(build({"bundles": bundle, "replicas": 2}))
  answers, retries, lost, end = [], [], [], time.monotonic() + SECONDS

  def client() -> None:
    while time.monotonic() < end:
      for attempt in range(50):
        try:
          request = urllib.request.Request("http://127.0.0.1:8199/predict", data, {"content-type": ""})
          with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
            answers.append(answer["labels"][0]["label"] if "labels" in answer else answer["text"])
          break
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
          retries.append(f"{attempt}: {error}")
          time.sleep(0.2)
      else:
        lost.append(1)

  threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
  for thread in threads:
    thread.start()
  time.sleep(SECONDS / 3)
  before = replicas()
  assert len(before) == 2, before
  num, victim = len(answers), min(before)
  os.kill(victim, signal.SIGKILL)
  for thread in threads:
    thread.join()
  limit = time.monotonic() + 120
  while len(replicas() - {victim}) < 2 and time.monotonic() < limit:
    time.sleep(1)
  after = replicas()
  print(f"{len(answers)} answers ({len(answers) - num} after the kill), {len(set(answers))} distinct; {len(retries)} asked "
        f"again {retries[:3]}; {len(lost)} lost; replicas {before} then {after}")
  serve.shutdown()
  ray.shutdown()
  return int(bool(lost) or len(set(answers)) != 1 or victim in after or len(after) != 2)


if __name__ == "__main__":
  sys.exit(main(*sys.argv[1:]))
