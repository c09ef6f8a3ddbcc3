"""What the tuned allocator is worth: one training step with and without it, in processes taking turns.

    python tests/benchmarks/allocator.py

A Transformer of ViT-S's width (6 layers, 384 wide, 197 positions, batch 4) with AdamW on one CPU. Prints the median ratio of
the step's time without over with, and the peak memory of both.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = 5

STEP = """
from research import process
process.tune_allocator()
import resource, time
import jax, jax.numpy as jnp
from research.config import Duration
from research.models import transformer
from research.nn.transformer import BlockConfig
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Length
from research.tasks.classification import Classification
from research.training import program
from research.training.settings import Training
spec = {"inputs": jax.ShapeDtypeStruct((4, 197, 384), jnp.float32), "labels": jax.ShapeDtypeStruct((4,), jnp.int32),
        "mask": jax.ShapeDtypeStruct((4,), jnp.float32)}
training = Training(steps=Duration(100))
block = BlockConfig(dim=384, num_heads=6, mlp_dim=1536)
made = program.build(model=transformer.Config(num_layers=6, block=block, causal=False, pool="mean", scan=True),
                     task=Classification(num_classes=1000), optimizer=AdamW(learning_rate=1e-3), training=training,
                     specs=(spec,), length=Length(total_steps=100, batch_size=4, steps_per_epoch=100),
                     mesh=training.sharding.mesh())
state = made.create(jax.random.key(0))
batch = {k: jnp.zeros(s.shape, s.dtype) for k, s in spec.items()}
times = []
for _ in range(8):
  begin = time.perf_counter()
  state = jax.block_until_ready(made.step(state, batch))
  times.append(time.perf_counter() - begin)
print(sorted(times[2:])[3], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(allocator: str) -> tuple[float, float]:
  """Seconds a step and MiB at the peak, in a process of its own."""
  done = subprocess.run([sys.executable, "-c", STEP], cwd=ROOT, capture_output=True, text=True, check=True,
                        env={**os.environ, "FIELDWORK_ALLOCATOR": allocator})
  seconds, memory = map(float, done.stdout.split())
  return seconds, memory


def main() -> None:
  cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
  pairs = [(measure("off"), measure("on")) for _ in range(ROUNDS)]
  ratio = statistics.median(off[0] / on[0] for off, on in pairs)
  print(f"{cpu[1] if cpu else 'unknown processor'}: a step takes {ratio:.2f} x as long without the tuned allocator "
        f"(range {min(o[0] / n[0] for o, n in pairs):.2f} to {max(o[0] / n[0] for o, n in pairs):.2f}); peak memory "
        f"{pairs[0][0][1]:,.0f} MiB without, {pairs[0][1][1]:,.0f} MiB with it")


if __name__ == "__main__":
  main()
