"""Draws figures as inline SVG. Over several seeds, and members of a comparison, those of one title become one."""

import collections
import dataclasses
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from research.figures import Figure, Series
from research.report import markup

# --- merging seeds ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Group:
  """One series over the seeds: `runs` holds it once a seed."""

  label: str
  kind: str
  runs: tuple[Series, ...]


@dataclasses.dataclass(frozen=True)
class Plot:
  """A figure over the seeds.

  Attributes:
    figure: gives the words and axes.
    marks: (axis, label) to the seeds' values.
    facts: name to the seeds' values.
  """

  title: str
  figure: Figure
  groups: tuple[Group, ...]
  marks: dict[tuple[str, str], tuple[float, ...]]
  facts: dict[str, tuple[float, ...]]


def merge(figures: Mapping[str, Sequence[Figure]]) -> list[Plot]:
  """Puts figures of one title together.

  Args:
    figures: by run, "seed" or "member/seed", in any order. The members of a comparison share a plot while there are
      colours for all.
  """
  titles: dict[str, dict[str, list[Figure]]] = {}
  for run, its in figures.items():
    for figure in its:
      titles.setdefault(figure.title, {}).setdefault(_member(run), []).append(figure)
  plots = []
  for title, members in titles.items():
    together = _plot(title, members)
    if together.figure.alone:
      for member, its in members.items():
        first = dataclasses.replace(its[0], caption=its[0].caption + " Shown: the first seed." * (len(its) > 1))
        plots.append(_plot(" · ".join(filter(None, (title, member))), {member: [first]}))
    elif len(members) == 1 or len(together.groups) <= len(markup.SERIES):
      plots.append(together)
    else:
      plots += [_plot(f"{title} · {member}", {member: its}) for member, its in members.items()]
  return plots


def _member(run: str) -> str:
  """The name of a run without its seed: "wide" of "wide/0" and of "runs/seed0/runs/wide", "" of "seed 0"."""
  return "/".join(p for p in run.split("/") if not re.fullmatch(r"(seed ?)?\d+|all seeds|runs|\.|", p))


def _plot(title: str, members: dict[str, list[Figure]]) -> Plot:
  every = [f for its in members.values() for f in its]
  groups, marks, facts = (collections.defaultdict(list) for _ in range(3))
  for member, its in members.items():
    for figure in its:
      seen = collections.Counter()  # two series of one figure are never seeds of each other, whatever their labels
      for series in dict.fromkeys(figure.series):  # the same curve twice is drawn once
        shared = series.kind == "theory" and all(series in f.series for f in every)
        label = series.label if len(members) == 1 or shared else " · ".join(filter(None, (member, series.label)))
        seen[label, series.kind] += 1
        groups[label, series.kind, seen[label, series.kind]].append(series)
      for mark in figure.marks:
        marks[mark.axis, mark.label].append(mark.value)
      for name, value in figure.facts:
        facts[name if len(members) == 1 else " · ".join(filter(None, (member, name)))].append(value)
  return Plot(title, every[0], tuple(Group(label, kind, tuple(runs)) for (label, kind, _), runs in groups.items()),
              {key: tuple(dict.fromkeys(values)) for key, values in marks.items()},
              {name: tuple(values) for name, values in facts.items()})


# --- drawing ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Drawing:
  """An `<svg>`, the legend beside it (label, kind, CSS colour, dash), and remarks on what it shows and leaves out."""

  svg: str
  legend: tuple[tuple[str, str, str, str], ...] = ()
  remarks: tuple[str, ...] = ()


def draw(plot: Plot, prefix: str) -> Drawing | None:
  """Draws a plot; None if it has no point to show. `prefix` makes the ids unique on the page: letters and digits."""
  figure, groups = plot.figure, plot.groups
  categories = _categories(plot)
  at = lambda x: np.asarray(x, float) if categories is None else _position(x, categories)
  ys: list[Any] = [r.y for g in groups for r in g.runs]
  y = np.array([v for values in ys for v in values])
  x = np.array([v for g in groups for r in g.runs for v in at(r.x)])
  shown = np.isfinite(x) & np.isfinite(y)
  logs = {"y": figure.y_scale == "log" and bool((y[shown] > 0).any()),
          "x": figure.x_scale == "log" and categories is None and bool((x[shown] > 0).any())}
  positive = shown & ~((logs["y"] & (y <= 0)) | (logs["x"] & (x <= 0)))
  if not positive.any():
    return None
  remarks = []
  if not shown.all():
    remarks.append(f"{_points(np.sum(~shown))} not finite and not shown.")
  if (shown & ~positive).any():
    remarks.append(f"{_points(np.sum(shown & ~positive))} not above 0 and not shown on the logarithmic axis.")
  remarks += _over_seeds(groups)
  styles = _styles(groups)
  with markup.matplotlib_settings():
    canvas, ax = markup.axes(262)
    for axis, log in logs.items():
      if log:  # bars start at 0, which a logarithmic axis can only clip
        nonpositive = "clip" if any(g.kind == "bars" for g in groups) else "mask"
        getattr(ax, f"set_{axis}scale")("log", nonpositive=nonpositive)
    _draw_groups(ax, groups, styles, at, categories)
    if any(g.kind == "bars" for g in groups) and not logs["y"] and y[shown].min() >= 0:
      ax.set_ylim(bottom=0)
    for (axis, _), values in plot.marks.items():
      for value in values:
        if math.isfinite(value) and (value > 0 or not logs[axis]):
          line = ax.axhline if axis == "y" else ax.axvline
          line(value, color=markup.INK, lw=1, alpha=0.75, ls=(0, (1, 2)), zorder=1.5)
    markup.set_ticks(ax.yaxis, logs["y"])
    if categories is None:
      markup.set_ticks(ax.xaxis, logs["x"])
    else:
      _name_ticks(ax, categories)
    ax.set_xlabel(textwrap.fill(markup.clean(figure.x_label), 60))
    ax.set_title(textwrap.fill(markup.clean(figure.y_label), 60), loc="left", fontsize=markup.TEXT, pad=8)
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    _label_marks(ax, [(axis, label, values[-1]) for (axis, label), values in plot.marks.items()])
    axes = f"{figure.y_label} against {figure.x_label}" if figure.y_label else f"against {figure.x_label}"
    drawn = markup.to_svg(canvas, prefix, f"{plot.title}: {axes}. {figure.caption}")
  legend = tuple((g.label, g.kind, markup.CSS[colour], dash) for g, (colour, dash) in zip(groups, styles))
  return Drawing(drawn, legend if len(legend) > 1 else (), tuple(remarks))


def _over_seeds(groups: Sequence[Group]) -> list[str]:
  """How several seeds are drawn, in words."""
  spread_out = [g for g in groups if len({(r.x, r.y) for r in g.runs}) > 1]
  num, kinds = max((len(g.runs) for g in spread_out), default=1), {g.kind for g in spread_out}
  lines = [g for g in spread_out if g.kind in ("line", "theory")]
  if any(len({r.x for r in g.runs}) > 1 for g in lines):
    return [f"Each of {num} seeds drawn where it was measured."]
  spread = [name for name, its in (("band", lines), ("whiskers", kinds & {"bars"})) if its]
  if spread:
    return [f"Mean of {num} seeds; {' and '.join(spread)} from the smallest to the largest."]
  return [f"Points of {num} seeds."] if "points" in kinds else []


def _points(count: int) -> str:
  return f"{count:,} value{' is' if count == 1 else 's are'}"


def _styles(groups: Sequence[Group]) -> list[tuple[str, str]]:
  """A colour and dash a group. A theory has the shade of the one measured series whose label is most like its own."""
  measured, theories = [g for g in groups if g.kind != "theory"], [g for g in groups if g.kind == "theory"]
  words = lambda group: set(re.findall(r"[^\s,;:()·]+", group.label.lower()))
  num, spare = len(markup.SERIES), len(measured)
  taken = {id(g): (markup.SERIES[i % num], ("solid", "dotted")[i // num % 2]) for i, g in enumerate(measured)}
  for theory in theories:
    common = [len(words(theory) & words(m)) for m in measured]
    best = max(common, default=0)
    if best and common.count(best) == 1:
      taken[id(theory)] = (markup.THEORY[common.index(best) % num], "dashed")
    elif len(theories) == 1:
      taken[id(theory)] = (markup.INK, "dashed")
    else:
      taken[id(theory)] = (markup.SERIES[spare % num], "dashed")
      spare += 1
  return [taken[id(g)] for g in groups]


def _categories(plot: Plot) -> list | None:
  """The places of a figure of names, or of bars at numbers that are not evenly spaced; else None."""
  xs: list[Any] = [r.x for g in plot.groups for r in g.runs]
  if any(isinstance(v, str) for x in xs for v in x):
    return list(dict.fromkeys(v if isinstance(v, str) else markup.number(v) for x in xs for v in x))
  bars: list[Any] = [r.x for g in plot.groups if g.kind == "bars" for r in g.runs]
  at = sorted({v for x in bars for v in x if math.isfinite(v)})
  gaps = np.diff(at)
  uneven = len(gaps) and (plot.figure.x_scale == "log" or np.ptp(gaps) > 1e-6 * gaps.max())
  return at if uneven else None


def _position(x, categories: list) -> np.ndarray:
  if isinstance(categories[0], str):
    return np.array([categories.index(v if isinstance(v, str) else markup.number(v)) for v in x], float)
  return np.interp(np.asarray(x, float), categories, np.arange(len(categories)), left=np.nan, right=np.nan)


def _draw_groups(ax, groups, styles, at, categories) -> None:
  bars, beside_theory = [g for g in groups if g.kind == "bars"], any(g.kind == "theory" for g in groups)
  for order, (group, (colour, dash)) in enumerate(zip(groups, styles)):
    rows = [(at(r.x), np.where(np.isfinite(r.y), r.y, np.nan)) for r in group.runs if len(r.x)]
    if not rows:
      continue
    if group.kind == "points":
      for x, y in rows:
        fill = {"mew": 0} if dash == "solid" else {"mew": 1, "markerfacecolor": "none"}
        ax.plot(x, y, "o", color=colour, ms=4.5 if len(x) < 200 else 2.5, alpha=0.75, zorder=3, **fill)
    elif group.kind == "bars":
      _draw_bars(ax, rows, bars.index(group), len(bars), colour, categories)
    elif len({r.x for r in group.runs}) > 1:
      for x, y in rows:
        ax.plot(x, y, color=colour, ls=dash, lw=1.2, alpha=0.8, zorder=3)
    else:
      x, y = rows[0][0], np.stack([y for _, y in rows])
      theory = group.kind == "theory"
      width = 1.5 if theory else 2.4 if beside_theory else 1.8  # a theory must be seen on what agrees with it
      marker = "o" if group.kind == "line" and len(x) <= 20 else ""
      # The mean of the seeds that did not diverge would be no mean of the seeds: the line ends, the band goes on.
      ax.plot(x, y.mean(0), color=colour, ls=dash, lw=width, marker=marker, ms=4, mew=0,
              zorder=4 + theory + order * 0.01)
      if len(y) > 1 and np.isfinite(y).any():
        low, high = (np.where(np.isfinite(y).any(0), reduce(0, where=np.isfinite(y), initial=start), np.nan)
                     for reduce, start in ((y.min, np.inf), (y.max, -np.inf)))
        ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0, zorder=2)
        if len(groups) <= 3 and group.kind == "line":
          for one in y:
            ax.plot(x, one, color=colour, lw=0.7, alpha=0.5, zorder=2.5)


def _draw_bars(ax, rows, index: int, num_bars: int, colour: str, categories) -> None:
  values = collections.defaultdict(list)
  for x, y in rows:
    for place, value in zip(x, y):
      if math.isfinite(place):
        values[place].append(value)
  x = np.array(sorted(values))
  if not len(x):
    return
  width = 0.8 * (1.0 if categories is not None or len(x) < 2 else np.diff(x).min()) / num_bars
  x_bar = x + (index - (num_bars - 1) / 2) * width
  # As with lines: no mean where a seed is not finite, but the range of the others.
  mean = np.array([np.mean(values[v]) for v in x])
  known = np.isfinite(mean)
  ax.bar(x_bar[known], mean[known], width * 0.94, color=colour, alpha=0.85, zorder=2)
  if len(rows) > 1:
    ends = [[v for v in values[place] if math.isfinite(v)] or [math.nan] for place in x]
    ax.vlines(x_bar, [min(v) for v in ends], [max(v) for v in ends], color=markup.INK, lw=1.2, zorder=3)


def _name_ticks(ax, categories: list) -> None:
  names = [markup.clean(c if isinstance(c, str) else markup.number(c)) for c in categories]
  names = [n if len(n) <= 24 else n[:23] + "…" for n in names]
  step = -(-len(names) // 16)
  turned = sum(map(len, names[::step])) + 2 * len(names[::step]) > 56
  ax.set_xticks(range(0, len(names), step), names[::step], rotation=35 if turned else 0, rotation_mode="anchor",
                ha="right" if turned else "center")
  ax.grid(visible=False, axis="x")


def _label_marks(ax, marks: list[tuple[str, str, float]]) -> None:
  """Writes each mark's label beside its line, where it covers no other label and as little of the data as can be."""
  box = ax.get_window_extent()
  drawn = [ax.transData.transform(np.column_stack(line.get_data()))  # lines across the axes are not data
           for line in ax.lines if line.get_transform() == ax.transData and len(line.get_xdata())]
  drawn = [np.column_stack([np.interp(np.linspace(0, len(p) - 1, 400), np.arange(len(p)), p[:, k]) for k in (0, 1)])
           for p in drawn]
  tops = [bar.get_window_extent() for bar in ax.patches]
  drawn += [np.column_stack([np.linspace(b.x0, b.x1, 10), np.full(10, b.y1)]) for b in tops]
  points = np.concatenate([*drawn, np.zeros((0, 2))])
  taken: list[tuple[float, float, float, float]] = []
  for axis, label, value in marks:
    text = textwrap.fill(markup.clean(label), 24)
    x, y = ax.transData.transform((value, ax.get_ylim()[0]) if axis == "x" else (ax.get_xlim()[0], value))
    if not (math.isfinite(x) and math.isfinite(y)) or not text:
      continue
    width, height = max(map(len, text.split("\n"))) * 0.54 * markup.TEXT, 1.18 * markup.TEXT * (text.count("\n") + 1)
    if axis == "y":
      corners = [(left, bottom) for bottom in (y + 2, y - height - 2)
                 for left in np.linspace(box.x1 - width - 2, box.x0 + 4, 6)]
    else:
      corners = [(left, bottom) for bottom in np.linspace(box.y1 - height, box.y0 + 4, 8)
                 for left in (x + 4, x - width - 4)]

    def cost(corner, width=width, height=height):
      x0, y0, x1, y1 = corner[0], corner[1], corner[0] + width, corner[1] + height
      outside = x0 < box.x0 - 2 or x1 > box.x1 + 2 or y0 < box.y0 or y1 > box.y1 + 6
      covered = sum(x0 < b[2] and b[0] < x1 and y0 < b[3] and b[1] < y1 for b in taken)
      inside = (points[:, 0] > x0) & (points[:, 0] < x1) & (points[:, 1] > y0) & (points[:, 1] < y1)
      return 1e6 * outside + 1e5 * covered + inside.sum()

    left, bottom = min(corners, key=cost)
    taken.append((left, bottom, left + width, bottom + height))
    # Where the page's font is narrower than reckoned the label must still end at its line.
    anchor = {"x": "left" if left > x else "right", "y": "right"}[axis]
    ax.text(left + width * (anchor == "right"), bottom + 2, text, transform=None, ha=anchor, va="bottom",
            fontsize=markup.TEXT - 1, zorder=9)
