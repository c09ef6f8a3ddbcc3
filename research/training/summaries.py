"""A run's curves: `metrics.jsonl`, TensorBoard events and, if asked for, Weights & Biases."""

import json
import os
import time

import jax
from etils import epath


def read_rows(path: epath.Path) -> list[dict]:
  """The whole lines of a metrics.jsonl; a line cut off by a kill is left out."""
  if not path.exists():
    return []
  rows = []
  for line in path.read_text().splitlines():
    try:
      rows.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return rows


class Summaries:
  """Writes scalars by step. Only process 0 writes; the others make no files."""

  def __init__(self, folder: epath.Path, *, resume_step: int = 0, num_rows: int = 0, wandb_project: str | None = None,
               config: dict | None = None):
    """Goes on after the `num_rows` that were written when the checkpoint of `resume_step` was saved; drops later ones."""
    self.num_rows = num_rows
    self._file = self._events = self._wandb = None
    if jax.process_index() != 0:
      return
    path = folder / "metrics.jsonl"
    kept = path.parent / f".{path.name}.tmp"
    kept.write_text("".join(json.dumps(row) + "\n" for row in read_rows(path)[:num_rows]))
    kept.replace(path)
    self._file = path.open("a")
    # Here: half a second, and other modes never write. Not SummaryWriter, whose thread dies of a full disk and leaves the
    # process waiting for it.
    from tensorboardX import event_file_writer
    from tensorboardX.proto.event_pb2 import Event, SessionLog  # ty: ignore[missing-module-member]  made when imported

    self._new_event = Event
    self._events = event_file_writer.EventsWriter(os.path.join(folder, "events"))
    self._events.write_event(self._new_event(
        step=resume_step + 1, wall_time=time.time(), session_log={"status": SessionLog.START}))
    if wandb_project:
      import wandb

      name = "-".join(folder.parts[-4:])  # unlike for each run, seed and member
      self._wandb = wandb.init(project=wandb_project, dir=str(folder), config=config, id=name, resume="allow")

  def write(self, step: int, values: dict[str, float]) -> None:
    """Writes one row; names are `split/metric`."""
    if self._file is None or self._events is None:
      return
    self.num_rows += 1
    self._file.write(json.dumps({"step": step, **values}) + "\n")
    self._file.flush()
    scalars = {"value": [{"tag": name, "simple_value": value} for name, value in values.items()]}
    self._events.write_event(self._new_event(step=step, wall_time=time.time(), summary=scalars))
    self._events.flush()
    if self._wandb:
      self._wandb.log(values, step=step)

  def close(self) -> None:
    for sink in (self._file, self._events):
      if sink is not None:
        sink.close()
    if self._wandb:
      self._wandb.finish()
