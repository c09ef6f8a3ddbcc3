"""A run's curves: `metrics.jsonl`, TensorBoard events and, if asked for, Weights & Biases."""

import json

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

  def __init__(self, folder: epath.Path, *, resume_step: int, wandb_project: str | None = None, config: dict | None = None):
    """Drops what a killed run wrote after the step it is resumed at, so that no step appears twice."""
    self._file = self._events = self._wandb = None
    if jax.process_index() != 0:
      return
    path = folder / "metrics.jsonl"
    rows = [row for row in read_rows(path) if row["step"] <= resume_step] if resume_step else []
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    self._file = path.open("a")
    from tensorboardX import SummaryWriter  # here: half a second, and other modes never write

    self._events = SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)
    if wandb_project:
      import wandb

      self._wandb = wandb.init(project=wandb_project, dir=str(folder), config=config, id=folder.name, resume="allow")

  def write(self, step: int, values: dict[str, float]) -> None:
    """Writes one row; names are `split/metric`."""
    if self._file is None:
      return
    self._file.write(json.dumps({"step": step, **values}) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(name, value, step)
    if self._wandb:
      self._wandb.log(values, step=step)

  def close(self) -> None:
    for sink in (self._file, self._events):
      if sink is not None:
        sink.close()
    if self._wandb:
      self._wandb.finish()
