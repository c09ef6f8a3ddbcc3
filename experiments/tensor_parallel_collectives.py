"""Shoeybi et al. 2019, Megatron-LM: a Transformer layer split by heads, columns and rows speaks twice each way.

  python launch.py --experiment=tensor_parallel_collectives

Half a minute on two CPU cores, 8 simulated devices. Expected: 4 all-reduces in the forward pass of 2 layers, 8 with the
gradients, no other collective, the same results as one device.
"""

from research.paper import Paper, Target, at_most, exactly
from research.studies.tensor_parallel_collectives import TensorParallelCollectives

PROCESS = {"devices": 8, "platform": "cpu"}

_PLACE = "Hugging Face Accelerate's guide to Megatron-LM"
_ACTIVATIONS = 4 * 32 * 128 * 4  # bytes of one (batch, length, dim) array of float32


def experiment() -> TensorParallelCollectives:
  return TensorParallelCollectives(
      paper=Paper("Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism",
                  "Shoeybi, Patwary, Puri, LeGresley, Casper, Catanzaro", 2019, "arXiv", "https://arxiv.org/abs/1909.08053"),
      targets=(
          Target(metric="forward_all_reduces", criterion=exactly(4), published=4, kind="number", place=_PLACE,
                 says="2 all-reduces a layer in the forward pass; 2 layers"),
          Target(metric="gradient_all_reduces", criterion=exactly(8), published=8, kind="number", place=_PLACE,
                 says="2 more a layer in the backward pass"),
          Target(metric="other_collectives", criterion=exactly(0), says="nothing else is sent"),
          Target(metric="forward_bytes", criterion=exactly(4 * _ACTIVATIONS), says="each reduces one (batch, length, dim)"),
          Target(metric="gradient_bytes", criterion=exactly(8 * _ACTIVATIONS), says="and so with the gradients"),
          Target(metric="difference", criterion=at_most(1e-5),
                 says="outputs and gradients equal one device's under every rule (relative to the largest)"),
          Target(metric="other_collectives_by_columns", criterion=exactly(0), control=True,
                 says="splitting every kernel by columns needs other collectives"),
          Target(metric="collectives_replicated", criterion=exactly(0), says="kernels that are not split need none"),
      ),
      seeds=(0,))
