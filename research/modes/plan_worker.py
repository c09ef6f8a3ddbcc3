"""The process in which steps are compiled for a plan: a compiler that crashes ends this one, not the plan.

Started by research/modes/plan_process.py with the path of a JSON file: the experiment's file, its member and settings, where
data lie. Reads one request a line from standard input, {"device": name, "changes": {path: value}}, and answers each
with a line: {"compiled": {...}} or {"problem": "one line"}.
"""

import dataclasses
import json
import os
import pathlib
import sys
from typing import Any

from research import process


def recipe(experiment: Any) -> Any:
  """An experiment that trains: of several settings of one, which make one program, the first."""
  return next(iter(experiment.members.values())) if hasattr(experiment, "members") else experiment


def main() -> None:
  process.tune_allocator()  # steps that are tried run as they do in training
  with os.fdopen(os.dup(1), "w") as answers:
    os.dup2(2, 1)  # compilers and libraries say what they like on standard output
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    from research import command_line, config  # here: what they print must not be taken for an answer
    from research.modes.base import chosen
    from research.planning import compute, devices

    default = recipe(chosen(command_line.load(pathlib.Path(job["path"])).experiment(), job["member"]))
    experiment = config.from_json(job["config"], default)
    for line in sys.stdin:
      request = json.loads(line)
      try:
        changed = config.override(experiment, request["changes"])
        device = devices.parse(request["device"])
        answer = {"compiled": dataclasses.asdict(compute.compile_step(changed, device, job["data_dir"]))}
      except config.UserError as error:
        answer = {"problem": str(error)}
      except Exception as error:  # a compiler's; what else it may be is in the log
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        answer = {"problem": f"the compiler gave up: {type(error).__name__}: {first[:300]}"}
      answers.write(json.dumps(answer) + "\n")
      answers.flush()


if __name__ == "__main__":
  main()
