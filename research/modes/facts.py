"""What is known of a run, for the model card of its bundle."""

import jax

from research.application.card import Facts
from research.modes.base import Context
from research.trained import Trained
from research.workdir import read_json


def facts_of(context: Context, trained: Trained) -> Facts:
  """Of the run's record and of the mode explain, where they are there."""
  record = next((read_json(folder / "record.json") for folder in [trained.run.folder, *trained.run.folder.parents]
                 if (folder / "record.json").exists()), None)
  experiment, targets = context.experiment, []
  for row in record["targets"] if record else ():
    value = "not run" if row["value"] is None else f"{row['value']:.4g}"
    targets.append(f"{row['metric']} {value}, asked {row['criterion']}: {row['verdict']}")
  paper = getattr(experiment, "paper", None)
  train = trained.opened.train
  made = f"jax {jax.__version__}" + (f", commit {record['git']}, {record['device']}, {record['date']}" if record else "")
  return Facts(
      summary=context.summary, paper=f"{paper.authors}, {paper.year}: {paper.title}, {paper.url}" if paper else None,
      verdict=record["verdict"] if record else None, targets=targets, deviations=record["deviations"] if record else (),
      licence=None, faithfulness=_faithfulness(trained), made=made,
      num_params=sum(leaf.size for leaf in jax.tree.leaves(trained.params)),
      trained_on="no data" if train is None else f"{len(train):,} examples of {type(trained.data.train).__name__}")


def _faithfulness(trained: Trained) -> dict[str, str]:
  """What the mode explain found out about explanations of this network, where it was run."""
  path = trained.run.folder / "explain" / "explain.json"
  if not path.exists():
    return {}
  measures = ("insertion", "deletion", "mu_fidelity")
  return {method: ", ".join([found.get("verdict", "not judged"), *(f"{name} {found[name]['mean']:+.3f}" for name in measures)])
          for method, found in read_json(path)["methods"].items()}
