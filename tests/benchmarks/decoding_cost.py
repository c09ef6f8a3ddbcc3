"""What one more token costs, by how many are written already: GPT-2 124M writes 1,000 tokens by one program.

    taskset -c 0 python tests/benchmarks/decoding_cost.py [--search=greedy|beam] [--rounds=5]

The cache is made for 1,000 tokens, and the limit of a request says where it stops, so that the tokens of a stretch cost what
the request that ends behind it takes longer than the one that ends before it. Prints milliseconds a token of each stretch, the
median of the rounds, and the dearest stretch over the cheapest.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from research import process

process.tune_allocator()
process.widen_vectors()

import jax
import numpy as np
from flax import nnx

from research.decoding.base import Requests, SpecialTokens
from research.decoding.constraints import Constraints
from research.decoding.decoder import make_decoder
from research.decoding.settings import Beam, Decoding, Greedy
from research.models import gpt2
from research.training.state import merge, split

NUM, ROWS, LIMITS = 1_000, 2, (1, 250, 500, 750, 1_000)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--search", default="greedy", choices=("greedy", "beam"))
  parser.add_argument("--rounds", type=int, default=5)
  arguments = parser.parse_args()
  search = Greedy() if arguments.search == "greedy" else Beam(num_beams=4)
  definition, params, buffers = split(gpt2.gpt2().build(jax.ShapeDtypeStruct((ROWS, 1), "int32"), 50_257, nnx.Rngs(0)))
  run = make_decoder(lambda params: merge(definition, params, buffers), Decoding(
      search=search, max_new_tokens=NUM, constraints=Constraints(min_new_tokens=NUM)), SpecialTokens(end=(50_256,), pad=0))

  def seconds(limit: int) -> float:
    requests = Requests(
        inputs=None, prompts_BP=np.full((ROWS, 1), 50_256, np.int32), lengths_B=np.ones(ROWS, np.int32),
        limits_B=np.full(ROWS, limit, np.int32), keys_B=jax.random.split(jax.random.key(0), ROWS))
    begin = time.perf_counter()
    found = jax.block_until_ready(run(params, requests, NUM))
    assert (np.asarray(found.lengths_BN)[:, 0] == limit).all(), found.lengths_BN
    return time.perf_counter() - begin

  seconds(1)
  rounds = np.array([[seconds(limit) for limit in LIMITS] for _ in range(arguments.rounds)])
  costs = np.median(1e3 * np.diff(rounds) / np.diff(LIMITS), axis=0)
  for start, stop, cost in zip(LIMITS, LIMITS[1:], costs):
    print(f"tokens {start:>5,} to {stop:>5,}: {cost:.2f} ms each")
  print(f"the dearest over the cheapest: {costs.max() / costs.min():.2f}")


if __name__ == "__main__":
  main()
