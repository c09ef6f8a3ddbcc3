"""One self-contained HTML page a run: what the paper says, what was measured, and everything needed to judge it.

The page asks nothing of the network and runs no script. The same input gives the same bytes.
"""

import importlib.resources
import math
from collections.abc import Mapping

import numpy as np
from etils import epath

from research.figures import Figure, Series
from research.report import cards, details
from research.report import targets as target_rows
from research.report.markup import legend, number, text
from research.report.plotting import Plot, draw, merge
from research.studies.base import Findings

_MAX_POINTS = 600  # of a training curve: a column has no more pixels


def write_report(path: epath.PathLike, record: dict, findings: Mapping[str, Findings], curves: Mapping[str, list[dict]],
                 config_json: dict, environment: dict) -> None:
  """Writes the page of a run.

  Args:
    path: the file to write.
    record: the run's record: experiment, paper, verdict, targets, seeds, seconds, ...; what is missing is left out. A page
      that is not on a run's verdict has its `subject` in the place of one.
    findings: by run, "seed" or "member/seed".
    curves: the rows of metrics.jsonl ({"step": int, "split/metric": value}) by run.
    config_json: the configuration, as `config.to_json` gives it.
    environment: what else is known of the machine: names to values, nested or not.
  """
  page = _page(record, findings, curves, config_json or {}, environment or {})
  epath.Path(path).write_bytes(page.encode("utf-8", "replace"))


def _page(record, findings, curves, config_json, environment) -> str:
  name, targets = record.get("experiment") or "experiment", record.get("targets") or ()
  css = importlib.resources.files("research.report").joinpath("page.css").read_text("utf-8")
  findings = {run: its for run, its in findings.items() if its.metrics or its.figures or its.notes}
  figures = {run: [f for f in its.figures if isinstance(f, Figure)] for run, its in findings.items()}
  pictures = _grid(merge(figures), "f") + cards.grid(findings) + details.measured(findings)
  training = _grid(merge({run: _curves(rows) for run, rows in curves.items()}), "c")
  command = text(record.get("command") or "").replace(" --", " \\\n  --")
  command = f'<pre class="card"><code>{command}</code></pre>' if command else ""
  body = "\n".join(filter(None, (
      _head(record, name),
      _section("Targets", target_rows.targets_table(targets), "Each was fixed before the run."),
      _section("The paper’s number beside ours", target_rows.strips(targets)),
      _section("What was found" if "subject" in record else "The claim in pictures", pictures),
      _section("Training curves", training),
      _section("Where the time went", details.time_spent(record.get("seconds") or {}, curves)),
      _section("Notes", details.notes(record, findings)),
      _section("Deviations from the recipe", details.listing(record.get("deviations") or ["None."])),
      _section("Configuration", details.configuration(config_json)),
      _section("Environment", details.environment(record, environment)),
      _section("Run it again", command))))
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:">
<link rel="icon" href="data:,">
<title>{text(name)}: {text(record.get("subject") or record.get("verdict") or "NOT RUN")}</title>
<style>
{css}</style>
</head>
<body>
<main>
{body}
</main>
<footer><small>Written by the run: every number here comes from its record and its metrics.</small></footer>
</body>
</html>
"""


def _section(title: str, body: str, lead: str = "") -> str:
  lead = f'<p class="lead">{lead}</p>\n' if lead else ""
  return f"<section>\n<h2>{title}</h2>\n{lead}{body}\n</section>" if body else ""


def _head(record, name: str) -> str:
  paper = record.get("paper") or {}
  title, url = text(paper.get("title") or ""), str(paper.get("url") or "")
  if title and url.startswith(("https://", "http://")):
    title = f'<a href="{text(url)}">{title}</a>'
  where = ", ".join(text(paper[key]) for key in ("authors", "venue", "year") if paper.get(key))
  summary = f'<p class="summary">{text(record["summary"])}</p>\n' if record.get("summary") else ""
  source = f'<p class="paper"><cite>{title}</cite><br>{where}</p>\n' if title or where else ""
  return f"""<header class="head">
<h1>{text(name)}</h1>
{summary}{source}{"" if "subject" in record else target_rows.headline(record)}
</header>"""


# --- figures ---------------------------------------------------------------------------------------------------------


def _grid(plots: list[Plot], prefix: str) -> str:
  figures = "\n".join(_figure(plot, f"{prefix}{i}") for i, plot in enumerate(plots))
  return f'<div class="grid">\n{figures}\n</div>\n' if plots else ""


def _figure(plot: Plot, prefix: str) -> str:
  drawing = draw(plot, prefix)
  if drawing is None:
    content, remarks = "<p><small>No finite value to draw.</small></p>", ()
  else:
    keys = [(f"{kind} {dash}" if kind in ("points", "bars") else dash, colour, label)
            for label, kind, colour, dash in drawing.legend]
    content, remarks = f"{legend(keys)}{drawing.svg}", drawing.remarks
  remarks = f"<small>{' '.join(map(text, remarks))}</small>" if remarks else ""
  facts = [f"{text(name)} {' · '.join(number(v, 3) for v in values)}." for name, values in plot.facts.items()]
  caption = " ".join([*facts, text(plot.figure.caption)]).strip()
  return f"""<figure class="card">
<h3>{text(plot.title)}</h3>
{content}
{f"<figcaption>{caption}{remarks}</figcaption>" if caption or remarks else ""}
</figure>"""


def _curves(rows: list[dict]) -> list[Figure]:
  """A figure a metric with a series a split: the loss first, the learning rate last."""
  metrics: dict[str, dict[str, list[tuple[float, float]]]] = {}
  for row in rows:
    for key, value in row.items():
      if key != "step" and not key.startswith("speed/") and (value is None or type(value) in (int, float)):
        split, _, metric = key.partition("/") if "/" in key else ("", "", key)
        points = metrics.setdefault(metric, {}).setdefault(split, [])
        points.append((row["step"], math.nan if value is None else value))
  figures = []
  for metric, splits in sorted(metrics.items(), key=lambda item: (item[0] != "loss") + (item[0] == "learning_rate")):
    values = np.array([v for points in splits.values() for _, v in points], float)
    values = values[np.isfinite(values)]
    log = metric != "learning_rate" and len(values) > 0 and values.min() > 0 and values.max() > 30 * values.min()
    stride = max(-(-len(points) // _MAX_POINTS) for points in splits.values())
    series = tuple(Series(split, *_thinned(np.array(points, float), stride)) for split, points in splits.items())
    caption = f"Each point is the mean of {stride} logged values." if stride > 1 else ""
    scale = "log" if log else "linear"
    figures.append(Figure(metric.replace("_", " "), "step", "", series, caption, y_scale=scale))
  return figures


def _thinned(points: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
  """(n, 2) points as x and y, with the mean in place of every `stride` of them where there are too many."""
  if len(points) > _MAX_POINTS:
    points = np.array([points[i:i + stride].mean(0) for i in range(0, len(points), stride)])
  return points[:, 0], points[:, 1]
