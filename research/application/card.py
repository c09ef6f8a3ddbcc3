"""The model card: what a bundle can do, how that is known, and where it ends (Mitchell et al. 2019)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
  """What is known of a run.

  Attributes:
    summary: the experiment's own words.
    paper: "authors, year: title, address", or None.
    verdict: of the run, or None where it was not judged.
    targets: a line for each: what was measured, and what had to be.
    deviations: from the recipe.
    licence: of the training data, or None where the recipe does not say.
    faithfulness: what was measured of explanations, by name; {} where nothing was.
    num_params: the network's parameters.
    trained_on: a line on the training data.
    made: "jax 0.10.2, commit".
  """

  summary: str
  paper: str | None
  verdict: str | None
  targets: Sequence[str]
  deviations: Sequence[str]
  licence: str | None
  faithfulness: Mapping[str, str]
  num_params: int
  trained_on: str
  made: str


def card(spec: Mapping[str, Any], facts: Facts) -> str:
  """Markdown."""
  gate, unit = spec["gate"], spec["unit"]
  lines = [f"# {spec['name']}: {spec['kind']}", "", facts.summary, ""]
  if facts.paper:
    lines += [f"Paper: {facts.paper}", ""]
  lines += ["## How good it is", "", f"Verdict of the run: **{facts.verdict or 'not judged'}**.", ""]
  lines += [f"- {line}" for line in facts.targets]
  lines += [f"- deviates from the recipe: {line}" for line in facts.deviations]
  lines += ["", "## How it was made", "", f"- {facts.num_params:,} parameters, stored as {spec['weights']}",
            f"- trained on {facts.trained_on}", f"- licence of the data: {facts.licence or 'not stated by the recipe'}",
            f"- {facts.made}", "", "## How it was checked", "",
            f"{gate['examples']} examples of the split {gate['split']}, from file to answer, beside the live model: numbers "
            f"differ by at most {gate['largest_difference']:.2g}, whole numbers (tokens) are equal in {gate['same_tokens']}; "
            f"{gate['metric']} {gate['live']:.4f} live, {gate['bundle']:.4f} here."]
  lines += [f"- `formats/{name}/`, run by its own runtime, likewise: at most {seen['largest_difference']:.2g}, equal in "
            f"{seen['same_tokens']}; {seen['metric']} {seen['bundle']:.4f}. It answers only, and reads what `Bundle.batch` of "
            "runtime.py makes of inputs" for name, seen in spec["also"].items()]
  lines += ["", "## Explanations", ""]
  method = spec["explains"]["method"] if spec["explains"] else None
  lines += [f"By {method}." if method else "None."]
  lines += [f"- {name}: {value}" for name, value in facts.faithfulness.items()]
  if method and not facts.faithfulness:
    lines += ["Whether they are true to the model was not measured (--mode=explain does)."]
  lines += ["", "## Limits", "", f"- input: {spec['inputs']['type']}; " + ", ".join(
      f"at most {value:,.0f} {name}" for name, value in spec["inputs"]["limits"].items())]
  for name, length in spec["lengths"][-1].items():
    lines.append(f"- of a longer input only the {'last' if spec['keeps'] == 'end' else 'first'} {length} {unit} ({name}) are "
                 "read, and the answer says so")
  if spec["labels"] is not None:
    lines.append(f"- it knows {len(spec['labels'])} labels and always answers with them, whatever it is shown: "
                 f"{', '.join(spec['labels'][:20])}{', ...' if len(spec['labels']) > 20 else ''}")
  lines += ["- it is as good as above on data like its training data; of others nothing is known", ""]
  return "\n".join(lines)
