"""Compiles the recipes that are for accelerators, and writes what the compilers say to experiments/plans.json.

  PYTHONPATH=.:tests python tests/planning/make_plans.py [--data_dir=DATA] [--only=WORD]

Needs the extra `plan`; a minute or more each. With --only, the rows whose names hold the word are made anew.
"""

import argparse
import json
import pathlib
from typing import Any

from research import command_line, config
from research.modes.base import chosen
from research.modes.plan_process import Compiler
from research.modes.plan_worker import recipe
from research.planning import devices
from research.planning.roofline import cost
from research.training.interruption import Interruption

FILE = pathlib.Path(command_line.EXPERIMENTS) / "plans.json"
_FSDP = {"training.sharding.data": 1, "training.sharding.fsdp": 16}
LARGE = {"model.embedding.dim": 2048, "model.decoder.block.dim": 2048, "model.decoder.block.mlp_dim": 8192,
         "model.decoder.block.num_heads": 16, "model.decoder.num_layers": 24, "model.decoder.remat": "full",
         "data.batch_size": 64, "training.num_microbatches": 1, **_FSDP}

# Name: experiment, member, device, changes. Of each recipe that names a TPU at least one slice; what does not fit is there too.
ROWS = {
    "imagenet_vit_s16 on v3:2x2": ("imagenet_vit_s16", None, "v3:2x2", {}),
    "imagenet_resnet50 on v3:2x2": ("imagenet_resnet50", None, "v3:2x2", {}),
    "imagenet_sam on v3:2x2": ("imagenet_sam", "sam", "v3:2x2", {}),
    "cnndm_t5_small on v3:2x2": ("cnndm_t5_small", None, "v3:2x2", {}),
    "cnndm_pegasus on v3:4x4": ("cnndm_pegasus", None, "v3:4x4", {}),
    "xsum_pegasus on v3:4x4": ("xsum_pegasus", None, "v3:4x4", {}),
    "multi30k_tiny on v5e:1x1": ("multi30k_tiny", None, "v5e", {}),
    "openwebtext_gpt2 of 1.3 billion parameters on v5e:4x4": ("openwebtext_gpt2", None, "v5e:4x4", LARGE),
    "llama_8b on v5e:2x4": ("llama_8b", None, "v5e:2x4", {}),
    "llama_8b on h100:8": ("llama_8b", None, "h100:8", {}),
    "shakespeare_char_gpu on a100_40": ("shakespeare_char_gpu", None, "a100_40", {}),
}


def make(name: str, data_dir: str | None) -> dict[str, Any]:
  """One row."""
  experiment, member, where, changes = ROWS[name]
  path = command_line.find(experiment)
  run, device = recipe(chosen(command_line.load(path).experiment(), member)), devices.parse(where)
  job = {"path": str(path), "member": member, "config": config.to_json(run), "data_dir": data_dir}
  with Interruption(message="") as interruption, Compiler(job, interruption) as compiler:
    step = compiler(device, changes)
  row = {"experiment": experiment, "member": member, "device": where, "changes": changes}
  if isinstance(step, str):
    return {**row, "problem": step}
  row |= {"fits": step.fits, "parameters": step.num_parameters, "peak_gib": round(step.peak / 2**30, 3),
          "capacity_gib": round(step.capacity / 2**30, 2), "tflop": round(step.flops / 1e12, 4),
          "moved_gb": round((step.products + step.others) / 1e9, 2) if step.fits else None,
          "collectives": {kind: [c["count"], round(c["bytes"] / 1e6, 1)] for kind, c in step.collectives.items()}}
  if step.fits:
    its = cost(step, devices.CHIPS[device.chip], device.num_chips)
    row |= {"step_seconds": round(its.seconds, 5), "hours": round(its.hours, 2),
            "dollars": its.dollars and round(its.dollars, 2)}
  return row


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("--data_dir")
  parser.add_argument("--only", default="")
  options = parser.parse_args()
  rows = json.loads(FILE.read_text()) if FILE.exists() else {}
  for name in ROWS:
    if options.only in name:
      rows[name] = make(name, options.data_dir)
      print(name, rows[name], flush=True)
      FILE.write_text(json.dumps({n: rows[n] for n in ROWS if n in rows}, indent=1) + "\n")


if __name__ == "__main__":
  main()
