"""A training step of ViT-S/16 at 224 pixels on one core, against Hugging Face's ViTForImageClassification.

    python tests/benchmarks/vit.py --peer_python=/path/to/python

The peer's interpreter has torch and transformers. Both do forward, backward and AdamW in float32 on batches of the same size,
each in a process of its own, and take turns step by step on the same core; the peer with the faster of its eager and its
fused attention, and of its plain and its fused optimizer. Ours is the step that training runs, with metrics and the norm of
the gradient. Prints the median ratio of a round, the peer's time over ours, and the processor.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from turns import compare

OURS = """
from research import process
process.tune_allocator()
process.widen_vectors()
import jax, numpy as np
from research.config import Duration
from research.models import vit
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Length
from research.tasks.classification import Classification
from research.training import program
from research.training.settings import Training
spec = {"inputs": jax.ShapeDtypeStruct((BATCH, 224, 224, 3), "float32"), "labels": jax.ShapeDtypeStruct((BATCH,), "int32"),
        "mask": jax.ShapeDtypeStruct((BATCH,), "float32")}
training = Training(steps=Duration(100))
made = program.build(model=vit.vit_s(), task=Classification(num_classes=1000), optimizer=AdamW(learning_rate=1e-3),
                     training=training, specs=(spec,), length=Length(total_steps=100, batch_size=BATCH, steps_per_epoch=100),
                     mesh=training.sharding.mesh())
state, rng = made.create(jax.random.key(0)), np.random.default_rng(0)
batch = {"inputs": rng.normal(size=(BATCH, 224, 224, 3)).astype("float32"),
         "labels": rng.integers(0, 1000, BATCH).astype("int32"), "mask": np.ones(BATCH, "float32")}
def step():
  global state
  state = jax.block_until_ready(made.step(state, batch))
"""

PEER = """
import time
import torch
from transformers import ViTConfig, ViTForImageClassification
torch.set_num_threads(1)
pixels, labels = torch.randn(BATCH, 3, 224, 224), torch.randint(0, 1000, (BATCH,))
def prepare(attention, fused):
  config = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536, num_labels=1000,
                     attn_implementation=attention)
  model = ViTForImageClassification(config).train()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
  def step():
    optimizer.zero_grad(set_to_none=True)
    model(pixel_values=pixels, labels=labels).loss.backward()
    optimizer.step()
  return step
def cost(step):
  step()
  begin = time.perf_counter()
  step(), step()
  return time.perf_counter() - begin
step = min((prepare(attention, fused) for attention in ("eager", "sdpa") for fused in (True, False)), key=cost)
"""

def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--peer_python", required=True)
  parser.add_argument("--batch", type=int, default=8)
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--core", type=int, default=0)
  args = parser.parse_args()
  compare(f"ViT-S/16 training step, batch {args.batch}", "Hugging Face", args.peer_python, PEER, OURS, rounds=args.rounds,
          core=args.core, BATCH=args.batch)


if __name__ == "__main__":
  main()
