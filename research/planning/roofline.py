"""How long a step takes and what it costs: from what is counted to seconds, by rates that are stated.

A step's time is that of its products, the longer of arithmetic and memory; of all else, by memory; and of the collectives
that nothing else goes on beside. Collectives that are hidden count where they outlast the rest. Input is prepared while an
accelerator computes, and counts where it takes longer, if this host is the accelerator's; where the host computes itself, its
cores do the one and the other.
"""

import dataclasses
import math

from research.flops import PEAKS
from research.planning.compute import Compiled
from research.planning.devices import Chip, peak_flops

# Shares of the peaks that training reaches. Assumed: Google and NVIDIA publish utilisations of 40 to 60 % for large
# Transformers (PaLM 46 %, MaxText on v5e 61 %), of which elementwise work and collectives, counted apart here, take a part.
PRODUCTS, MEMORY, WIRE = 0.65, 0.8, 0.8
ASSUMED = f"assumed: {PRODUCTS:.0%} of the peak in products, {MEMORY:.0%} of the memory's bandwidth, {WIRE:.0%} of the links'"
TRIED = "measured on this host: some steps on a batch of zeros"
RATES = "measured on this host: the rate of a large product of matrices, and of copies"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
  """What a step and a run take.

  Attributes:
    seconds: of a step, in the mean over the shapes of batches.
    parts: of which for arithmetic of products, for memory and for links, or for the whole step, where it was tried; and for
      input.
    by: where the rates are from.
    utilization: FLOPs over the peak; None where that is measured, not known.
    hours: of the run: its steps, and evaluations at a third of a step's time an example.
    evaluation_hours: of these, for evaluations.
    kilowatt_hours, dollars: of the chips for that time; None where nobody says.
  """

  seconds: float
  parts: dict[str, float]
  by: str
  utilization: float | None
  hours: float
  evaluation_hours: float
  kilowatt_hours: float | None
  dollars: float | None


def cost(compiled: Compiled, chip: Chip, num_chips: int) -> Cost:
  """Prices a compiled step that fits.

  Args:
    compiled: the step.
    chip: what it runs on.
    num_chips: how many of them are paid for.
  """
  peak, tried, share = peak_flops(chip, compiled.precision), compiled.rates.get("step"), compiled.mean_share
  if tried is not None:
    parts, by = {"step": tried}, TRIED
  elif compiled.rates:  # the simulated devices of a host share it, and have no links
    parts, by = _parts(compiled, compiled.rates["flops"] / compiled.devices, compiled.rates["bandwidth"], math.inf), RATES
  else:
    assert chip.kind, "a CPU is measured"
    bandwidth, link = PEAKS[chip.kind].bandwidth * MEMORY, chip.link / chip.devices * WIRE
    parts, by = _parts(compiled, (peak or 0.0) * PRODUCTS, bandwidth, link), ASSUMED
  step = sum(parts.values())
  if compiled.rates and not math.isnan(compiled.input_seconds):
    reading = compiled.input_seconds / compiled.cores
    parts["input"] = max(0.0, reading - (0.0 if compiled.kind == "cpu" else step))
  seconds = sum(parts.values())
  batches = compiled.eval_examples * compiled.num_evaluations / compiled.batch_size  # of the largest shape
  evaluation = batches * (step / share / 3 + parts.get("input", 0.0))
  hours = (seconds * compiled.total_steps + evaluation) / 3600
  return Cost(
      seconds=seconds, parts=parts, by=by,
      utilization=compiled.flops * share / compiled.devices / seconds / peak if peak else None,
      hours=hours, evaluation_hours=evaluation / 3600,
      kilowatt_hours=None if chip.watts is None else chip.watts * num_chips * hours / 1000,
      dollars=None if chip.dollars is None else chip.dollars * num_chips * hours)


def _parts(compiled: Compiled, reached: float, bandwidth: float, link: float) -> dict[str, float]:
  """Seconds of a step, in the mean over the shapes of batches."""
  arithmetic = compiled.flops / compiled.devices / reached if reached else math.inf
  products, others = compiled.products / bandwidth, compiled.others / bandwidth
  exposed, hidden = (compiled.wire - compiled.hidden) / link, compiled.hidden / link
  memory = others + (products if products > arithmetic else 0.0)
  arithmetic = arithmetic if arithmetic >= products else 0.0
  largest = {"arithmetic": arithmetic, "memory": memory, "links": exposed + max(0.0, hidden - arithmetic - memory)}
  return {name: part * compiled.mean_share for name, part in largest.items()}
