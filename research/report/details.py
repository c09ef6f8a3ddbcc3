"""What a report says of the run itself: time, end, notes, configuration, environment."""

import dataclasses
import importlib
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from research.config import to_json
from research.report.markup import fold, legend, number, run_name, table, text
from research.studies.base import Findings
from research.training.progress import duration

_NO_DEFAULT = object()


def time_spent(seconds: Mapping[str, float], curves: Mapping[str, Sequence[Mapping]]) -> str:
  """A bar of the parts of the total, and the median of every `speed/...` of the curves."""
  parts = {name: float(v) for name, v in seconds.items() if name != "total" and _is_number(v) and v > 0}
  total = float(seconds["total"]) if _is_number(seconds.get("total")) else sum(parts.values())
  if parts and total - sum(parts.values()) > 0.005 * total:
    parts["everything else"] = total - sum(parts.values())
  facts = [f"<b>{duration(total)}</b> in all"] if total > 0 else []
  speeds: dict[str, list[float]] = {}
  for rows in curves.values():
    for key, value in ((k, v) for row in rows for k, v in row.items() if k.startswith("speed/") and _is_number(v)):
      speeds.setdefault(key.removeprefix("speed/").replace("_", " "), []).append(value)
  facts += [f"<b>{number(statistics.median(values))}</b> {text(name)} (median)" for name, values in speeds.items()]
  lead = f'<p class="lead">{" · ".join(facts)}</p>\n' if facts else ""
  if not parts:
    return lead
  share = {name: 100 * v / sum(parts.values()) for name, v in parts.items()}
  colour = {name: f"var(--series-{8 if name == 'everything else' else i % 7 + 1})" for i, name in enumerate(parts)}
  bar = "".join(f'<span style="--c: {colour[name]}; width: {share[name]:.2f}%"></span>' for name in parts)
  words = text(", ".join(f"{name} {share[name]:.1f} %" for name in parts))
  keys = legend([("bars", colour[name], f"{name} {share[name]:.1f} % · {duration(parts[name])}") for name in parts])
  return f'{lead}<div class="card time"><div class="bar" role="img" aria-label="{words}">{bar}</div>{keys}</div>'


def _is_number(value) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def listing(items: Sequence) -> str:
  """A card with a line an item, each text; "" if there are none."""
  lines = "\n".join(f"<li>{text(item)}</li>" for item in items)
  return f'<div class="card pad"><ul>\n{lines}\n</ul></div>' if lines else ""


def notes(record: Mapping, findings: Mapping[str, Findings]) -> str:
  """What stopped the run, and every note once; that of a single run carries its name."""
  runs: dict[str, list[str]] = {note: [] for note in record.get("notes") or ()}
  for run, found in findings.items():
    for note in found.notes:
      runs.setdefault(note, []).append(run)
  lines = [f"Stopped before its last step: {record['stopped']}"] if record.get("stopped") else []
  lines += [f"{note} ({run_name(of[0])})" if len(of) == 1 < len(findings) else note for note, of in runs.items()]
  return listing(lines)


def measured(findings: Mapping[str, Findings]) -> str:
  """Every metric of every run, folded."""
  metrics = list(dict.fromkeys(name for found in findings.values() for name in found.metrics))
  if not metrics:
    return ""
  rows = [[f"<code>{text(name)}</code>", *(number(found.metrics.get(name)) for found in findings.values())]
          for name in metrics]
  return fold(f"All {len(metrics)} measured values", "by run", table(["metric", *map(run_name, findings)], rows))


# --- configuration ---------------------------------------------------------------------------------------------------


def configuration(config_json: Mapping) -> str:
  """What this experiment sets, then everything."""
  settings = list(_settings(config_json, {}, ""))
  if not settings:
    return ""
  rows = lambda chosen: table(("setting", "value", "default"), (
      [f"<code>{text(path)}</code>", f"<code>{text(value)}</code>", f"<small>{text(default)}</small>"]
      for path, value, default, _ in chosen))
  own = [setting for setting in settings if setting[3]]
  changed = fold(f"{len(own)} settings of this experiment", "what differs from a default or has none", rows(own),
                 is_open=len(own) <= 12) if own else ""
  return changed + fold(f"All {len(settings)} settings", "" if own else "each at its default", rows(settings))


def _settings(node: Mapping, default, prefix: str) -> Iterator[tuple[str, str, str, bool]]:
  """(path, value, default, differs) of every leaf of a configuration's JSON, and of every class that was chosen."""
  if "class" in node and not (isinstance(default, dict) and default.get("class") == node["class"]):
    default = _class_defaults(node["class"])
  for key, value in node.items():
    if key == "class":
      continue
    path, usual = f"{prefix}{key}", default.get(key, _NO_DEFAULT) if isinstance(default, dict) else _NO_DEFAULT
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
      value = {str(i): v for i, v in enumerate(value)}
      usual = {str(i): v for i, v in enumerate(usual)} if isinstance(usual, list) else None
    if isinstance(value, dict):
      if "class" in value:
        was = usual.get("class") if isinstance(usual, dict) else None
        yield path, _short(value["class"]), _short(was or ""), value["class"] != was
      yield from _settings(value, usual, f"{path}.")
    else:
      known = usual is not _NO_DEFAULT
      yield path, _literal(value), _literal(usual) if known else "", not known or value != usual


def _class_defaults(name: str) -> dict:
  """The defaults of a dataclass as JSON; {} where a record is older than the code and the class is gone."""
  module, _, cls = str(name).rpartition(".")
  try:
    fields = dataclasses.fields(getattr(importlib.import_module(module), cls))
  except (ImportError, AttributeError, TypeError, ValueError):
    return {}
  made = {f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default for f in fields
          if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING}
  return {key: to_json(value) for key, value in made.items()}


def _short(name: str) -> str:
  return ".".join(name.split(".")[-2:])


def _literal(value) -> str:
  return f"({', '.join(map(_literal, value))})" if isinstance(value, list) else str(value)


# --- environment -----------------------------------------------------------------------------------------------------


def environment(record: Mapping, more: Mapping) -> str:
  """What the record says of the machine and the code, then what else is known."""
  facts: dict[str, object] = {}

  def add(data, prefix=""):
    for key, value in data.items():
      name = f"{prefix}{key}".replace("_", " ")
      if isinstance(value, Mapping):
        add(value, f"{name} ")
      elif value not in (None, "", [], ()):
        facts.setdefault(name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value)

  add({key: record.get(key) for key in ("date", "device", "cpu", "git", "config_hash", "seeds")})
  versions = {**(more.get("versions") or {}), **(record.get("versions") or {})}
  add({"versions": [f"{name} {version}" for name, version in versions.items()]})
  add({key: value for key, value in more.items() if key != "versions"})
  items = "\n".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts.items())
  return f'<dl class="card facts">\n{items}\n</dl>' if items else ""
