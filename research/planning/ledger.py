"""What was predicted beside what a run really took: how good the plans are."""

from typing import Any

from research.figures import Table

_GIB = 2**30


def entries(plans: list[dict], took: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
  """For each training run with a plan for its device: {quantity: {"predicted": ..., "measured": ...}}; JSON values.

  Args:
    plans: as research/modes/plan.py keeps them.
    took: of each training run, see Findings.compute.
  """
  found = []
  for member, measured in took.items():
    plan = _plan(plans, member, measured)
    base = {} if plan is None else plan["options"][0]
    step, cost = base.get("compiled") or {}, base.get("cost") or {}
    beside = {
        "step_seconds": {"predicted": cost.get("seconds"), "measured": measured["step_seconds"]},
        "hours": {"predicted": cost.get("hours"), "measured": measured["hours"]},
        "program_bytes": {"predicted": step.get("peak"), "measured": measured["program_bytes"]},
        "peak_bytes": {"predicted": step.get("peak"), "measured": measured["peak_bytes"]}}
    found.append({"member": member, "device": f"{measured['devices']} x {measured['device']}", **beside})
  return found


def _plan(plans: list[dict], member: str, measured: dict[str, Any]) -> dict | None:
  """The newest for this member and its devices."""
  for plan in reversed(plans):
    step = plan["options"][0]["compiled"]
    if step is not None and (plan["member"] or "", step["kind"], step["devices"]) == (
        member, measured["device"], measured["devices"]):
      return plan
  return None


_SHOWN = (("step_seconds", "s a step", 1.0), ("hours", "hours", 1.0), ("program_bytes", "GiB, the compiled step", 1 / _GIB),
          ("peak_bytes", "GiB, the device", 1 / _GIB))


def table(found: list[dict[str, Any]]) -> Table:
  """For the report: of each run and quantity the prediction, the measurement and their ratio."""
  rows = []
  for entry in found:
    for name, unit, scale in _SHOWN:
      predicted, measured = entry[name]["predicted"], entry[name]["measured"]
      if measured is not None:
        rows.append((entry["member"] or "the run", entry["device"], unit, f"{predicted * scale:.4g}" if predicted else "",
                     f"{measured * scale:.4g}", f"{measured / predicted:.2f}" if predicted else ""))
  return Table("Planned and measured", ("run", "device", "what", "planned", "measured", "ratio"), tuple(rows),
               "A run without a plan (--mode=plan) has the measurements alone.")
