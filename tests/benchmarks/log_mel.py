"""Whisper's log-mel spectrum of 30 seconds on one core, against Hugging Face's WhisperFeatureExtractor.

    python tests/benchmarks/log_mel.py --peer_python=/path/to/python

The peer's interpreter has torch and transformers. All get the same number of clips at a time, each in a process of its own on
the same core, and take turns; the peer twice, as it is with torch installed and as it is without. Prints the median ratios of
a round, the peer's processor time over ours, and the processor; fails if ours is not so many times faster than without torch.
"""

import argparse
import os
import statistics
import sys

import turns

FLOOR = 4.0

OURS = """
from research import process
process.tune_allocator()
import jax, numpy as np
from research.augmentation.audio_features import LogMel
transform = LogMel(seconds=30)
run = jax.jit(lambda batch: transform(batch, None))
samples = np.random.default_rng(0).normal(0, 0.1, (BATCH, 480_000)).astype("float32")
def step():
  jax.block_until_ready(run({"inputs": samples}))
"""

PEER = """
import numpy as np, torch
from transformers import WhisperFeatureExtractor
from transformers.models.whisper import feature_extraction_whisper
torch.set_num_threads(1)
feature_extraction_whisper.is_torch_available = lambda: WITH_TORCH
samples = list(np.random.default_rng(0).normal(0, 0.1, (BATCH, 480_000)).astype("float32"))
extract = WhisperFeatureExtractor()
def step():
  extract(samples, sampling_rate=16_000, return_tensors="np")
"""


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", required=True)
  parser.add_argument("--batch", type=int, default=4)
  parser.add_argument("--rounds", type=int, default=15)
  parser.add_argument("--core", type=int, default=0)
  args = parser.parse_args()
  from research import records  # imports jax; the workers have their own
  os.sched_setaffinity(0, {args.core})  # inherited by the workers
  workers = []
  try:
    for python, source in ((args.peer_python, PEER.replace("WITH_TORCH", "True")),
                           (args.peer_python, PEER.replace("WITH_TORCH", "False")), (sys.executable, OURS)):
      workers.append(turns.Worker(python, source, BATCH=args.batch))
    seconds = [[worker.step() for worker in workers] for _ in range(args.rounds)]
  finally:
    for worker in workers:
      worker.process.kill()
  medians = [1000 * statistics.median(side) / args.batch for side in zip(*seconds)]
  ratios = [[row[peer] / row[2] for row in seconds] for peer in (0, 1)]
  print(f"{records.environment()['cpu']}, a clip of {args.batch}, {args.rounds} rounds: ours {medians[2]:.1f} ms")
  for name, median, values in zip(("with torch", "without torch"), medians, ratios):
    spread = f"({min(values):.2f} to {max(values):.2f})"
    print(f"Hugging Face {name} {median:.1f} ms, ratio {statistics.median(values):.2f} {spread}")
  return int(statistics.median(ratios[1]) < FLOOR)


if __name__ == "__main__":
  sys.exit(main())
