"""What a mode is given: an experiment, where it runs, and the network that a run of it ended with."""

import dataclasses
from typing import Any

from etils import epath

from research import workdir
from research.assessment import Assessment
from research.config import ConfigError
from research.experiment import Comparison, Selection
from research.trained import Trained
from research.training.interruption import Interruption
from research.workdir import Run


def chosen(experiment: Any, member: str | None) -> Any:
  """The experiment, or the member that was named. Raises ConfigError if there is none such, or one must be named."""
  for name in member.split("/") if member else ():
    members = getattr(experiment, "members", {})
    if name not in members:
      raise ConfigError(f"--member={member}: there is no {name!r}; " + (
          f"there are {', '.join(members)}" if members else "the experiment is no comparison"))
    experiment = members[name]
  if isinstance(experiment, Comparison) and not isinstance(experiment, Selection):
    raise ConfigError(f"which member? Give --member=NAME, one of {', '.join(experiment.members)}")
  return experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
  """One command.

  Attributes:
    name: the experiment's.
    summary: its docstring.
    experiment: as the command line has it.
    default: as its file has it.
    seeds: that the command means.
    data_dir: where data lie, or None.
    workdir: the folder that was named, or None.
    member: of a comparison, as NAME or NAME/NAME; None where none was named.
    interruption: whether somebody wants the process to end.
  """

  name: str
  summary: str
  experiment: Any
  default: Any
  seeds: tuple[int, ...]
  data_dir: epath.Path | None
  workdir: str | None
  member: str | None
  interruption: Interruption

  def finished(self) -> tuple[Any, Run]:
    """The experiment, or the member that was named, and where its first seed was run: the newest finished run, or --workdir;
    given weights need none.

    Raises:
      ConfigError: there is no such run or member, or the run was of another config.
    """
    untrained = self.experiment if isinstance(self.experiment, Assessment) else None
    folder = workdir.for_reading(self.name, self.workdir, untrained)
    workdir.check_config(folder, self.experiment)
    run, seed = Run(folder, self.data_dir, self.interruption), f"seed{self.seeds[0]}"
    if (folder / "runs" / seed).exists():
      run = run.child(seed)
    experiment = self.chosen()
    for name in self.member.split("/") if self.member else ():
      run = run.child(name)
    return experiment, run

  def chosen(self) -> Any:
    """The experiment, or the member that was named. Raises ConfigError if there is none such, or one must be named."""
    return chosen(self.experiment, self.member)

  def trained(self) -> Trained:
    """The network of `finished`. Raises ConfigError if there is none."""
    experiment, run = self.finished()
    if not hasattr(experiment, "trained"):
      raise ConfigError(f"{self.name} is a study: it trains no network that could be explained or exported")
    return experiment.trained(self.seeds[0], run)
