"""The report is one page that needs nothing else, says what the record says, and survives whatever a run gives it."""

import html.parser
import math
import re

import numpy as np
import pytest

from research.figures import Figure, Mark, Picture, Pictures, Series
from research.report import plotting
from research.report.markup import digits_apart, number
from research.report.page import write_report
from research.studies.base import Findings

HOSTILE = '<script>alert("x")</script> & \'$\\frac{\' --> ]]> #p0 url(#a) id="b" \x00\x1b 字'


class _Page(html.parser.HTMLParser):
  """Tags with their attributes, and the text outside the style sheet."""

  def __init__(self, page: str):
    super().__init__()
    self.tags: list[tuple[str, dict]] = []
    self.open: list[str] = []
    self.words = ""
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in ("meta", "link", "img", "br"):
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if "style" not in self.open:
      self.words += data

  def values(self, name: str) -> list[str]:
    return [attrs[name] for _, attrs in self.tags if name in attrs]


def _target(**changes) -> dict:
  return {"metric": "accuracy", "says": "it reaches 97 %", "place": "Table 2", "published": 0.97,
          "criterion": "0.96 to 0.98", "low": 0.96, "high": 0.98, "kind": "number", "verdict": "REPRODUCED",
          "value": 0.9712, "interval": [0.968, 0.974], "per_seed": [0.97, 0.9724], "reason": "", "control": False,
          **changes}


def _record(**changes) -> dict:
  return {"experiment": "digits", "summary": "Reads digits.", "verdict": "REPRODUCED", "targets": [_target()],
          "paper": {"title": "On digits", "authors": "A. Author", "year": 1998, "venue": "Proc. IEEE",
                    "url": "https://example.org/paper"},
          "seeds": [0, 1], "seconds": {"total": 100.0, "compile": 25.0, "step": 50.0}, "stopped": "", "deviations": [],
          "notes": [], "command": "python launch.py --experiment=digits", "versions": {"jax": "1.2.3"}, **changes}


def _findings(seed: int, **changes) -> Findings:
  x = np.arange(1.0, 9)
  figures = (
      Figure("Error", "width", "error",
             (Series("measured", x, 1 / x + 0.1 * seed), Series("1 / x", x, 1 / x, "theory")), "It falls.",
             x_scale="log", y_scale="log", marks=(Mark("x", 3, "half"), Mark("y", 0.5, "chance"))),
      Figure("Methods", "", "accuracy", (Series("small", ["a", "b"], [1, 2 + seed], "bars"),)),
      Pictures("Looks", ((Picture.of("zero", np.eye(4)),),)),
  )
  return Findings(**{"metrics": {"accuracy": 0.97}, "figures": figures, **changes})


def _write(tmp_path, record=None, findings=None, curves=None, config=None, environment=None) -> str:
  path = tmp_path / "report.html"
  record = _record() if record is None else record
  write_report(path, record, findings or {}, curves or {}, config or {}, environment or {})
  return path.read_text("utf-8")


def _rows(seed: int) -> list[dict]:
  return [{"step": s, "train/loss": 1 / (s + 1 + seed), "eval/loss": 2 / (s + 1), "train/learning_rate": 0.1,
           "speed/examples_per_second": 1000.0 + s} for s in range(5)]


def test_page_is_self_contained_and_well_formed(tmp_path):
  page = _write(tmp_path, findings={"0": _findings(0), "1": _findings(1)}, curves={"0": _rows(0), "1": _rows(1)})
  parsed = _Page(page)
  assert not parsed.open
  assert [a["href"] for tag, a in parsed.tags if tag == "a"] == ["https://example.org/paper"]
  others = [v for tag, a in parsed.tags if tag != "a" for k, v in a.items() if k in ("href", "src")]
  assert others and all(v.startswith(("#", "data:")) for v in others)
  assert "http" not in re.sub('href="https://example.org/paper"|http-equiv', "", page)
  assert "@import" not in page and not re.search(r"url\((?!#)", page)
  assert not {"script", "iframe", "object"} & {tag for tag, _ in parsed.tags}
  assert [tag for tag, _ in parsed.tags if tag in ("h1", "title")] == ["title", "h1"]
  assert all(a.get("aria-label") for tag, a in parsed.tags if tag == "svg")
  assert all("alt" in a for tag, a in parsed.tags if tag == "img")


def test_ids_are_unique_and_every_reference_has_its_target(tmp_path):
  page = _write(tmp_path, findings={"0": _findings(0), "1": _findings(1)}, curves={"0": _rows(0)})
  ids = _Page(page).values("id")
  assert len(ids) == len(set(ids)) > 10
  body = page[page.index("<body>"):]
  assert set(re.findall(r'(?:href="|url\()#([^)"]+)', body)) == set(ids)


def test_drawings_use_only_the_colours_of_the_page(tmp_path):
  page = _write(tmp_path, findings={"0": _findings(0)}, curves={"0": _rows(0)})
  assert "currentColor" in page and "var(--series-1)" in page and "var(--accepted)" in page
  assert not re.findall(r"(?:stroke|fill): #\w+", page[page.index("<body>"):])


def test_hostile_text_stays_text(tmp_path):
  figure = Figure(HOSTILE, HOSTILE, HOSTILE, (Series(HOSTILE, [1, 2], [1, 2]), Series("b", [HOSTILE], [1], "bars")),
                  HOSTILE, marks=(Mark("y", 1.5, HOSTILE),))
  findings = Findings(metrics={HOSTILE: 1.0}, notes=(HOSTILE,),
                      figures=(figure, Pictures(HOSTILE, ((Picture.of(HOSTILE, np.eye(2)),),), HOSTILE)))
  record = dict.fromkeys(("experiment", "summary", "verdict", "stopped", "command", "git", "device"), HOSTILE)
  record |= {"paper": {"title": HOSTILE, "authors": HOSTILE, "url": "javascript:alert(1)"}, "notes": [HOSTILE],
             "targets": [_target(**dict.fromkeys(("metric", "says", "place", "criterion", "reason"), HOSTILE))],
             "deviations": [HOSTILE], "seconds": {HOSTILE: 1.0}, "versions": {HOSTILE: HOSTILE}}
  rows = [{"step": 1, f"{HOSTILE}/{HOSTILE}": 1.0, f"speed/{HOSTILE}": 1.0}]
  page = _write(tmp_path, record, {HOSTILE: findings}, {HOSTILE: rows}, {"class": HOSTILE, HOSTILE: HOSTILE},
                {HOSTILE: HOSTILE})
  parsed = _Page(page)
  assert not parsed.open
  assert not {"script", "a"} & {tag for tag, _ in parsed.tags}
  assert parsed.words.count('<script>alert("x")</script>') > 20
  assert "javascript:" not in page
  assert len(parsed.values("id")) == len(set(parsed.values("id")))


@pytest.mark.parametrize("odd", [None, math.nan, math.inf, -math.inf])
def test_values_that_are_missing_or_not_finite_are_said_to_be(tmp_path, odd):
  y = math.nan if odd is None else odd
  figures = (Figure("Some", "x", "y", (Series("a", [1, 2, 3], [1, y, 3]),), y_scale="log", marks=(Mark("y", y, "g"),)),
             Figure("Not one", "x", "y", (Series("a", [1.0], [y]), Series("b", [], [])), x_scale="log", y_scale="log"),
             Figure("Place", "x", "y", (Series("a", [1, y, 3], [1, 2, 3], "bars"),)),
             Figure("Empty", "x", "y", ()), Pictures("Empty", ()))
  record = _record(seconds={"total": odd, "step": odd}, targets=[
      _target(value=odd, published=odd, interval=None, per_seed=[], low=None, high=None, verdict="NOT RUN"),
      _target(value=odd, interval=[odd, odd], per_seed=[odd, 0.97], low=None)])
  page = _write(tmp_path, record, {"0": Findings(metrics={"a": y}, figures=figures)},
                {"0": [{"step": 0, "train/loss": odd}, {"step": 1, "train/loss": 1.0}], "1": []})
  words = _Page(page).words
  assert "1 value is not finite and not shown." in words
  assert words.count("No finite value to draw.") == 2
  assert {None: "–", "nan": "not a number", "inf": "∞", "-inf": "−∞"}[None if odd is None else str(odd)] in words
  assert not re.search(r"\b(nan|inf|None)\b", words.replace("None.", ""))  # "None." is what there is of deviations
  assert not re.search(r'="[^"]*\b(nan|inf)\b', page)


def test_an_empty_record_still_makes_a_page(tmp_path):
  words = _Page(_write(tmp_path, {})).words
  assert "NOT RUN" in words and "No target was set" in words
  nothing = dict.fromkeys(_record())
  assert "NOT RUN" in _Page(_write(tmp_path, nothing | {"targets": [dict.fromkeys(_target())]})).words


def test_same_input_gives_the_same_bytes_whatever_matplotlib_is_set_to(tmp_path):
  import matplotlib

  first = _write(tmp_path, findings={"0": _findings(0)}, curves={"0": _rows(0)})
  with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "path", "axes.grid": False}):
    again = _write(tmp_path, findings={"0": _findings(0)}, curves={"0": _rows(0)})
  assert first == again


def test_the_headline_says_how_the_targets_came_out(tmp_path):
  targets = [_target(), _target(metric="loss", verdict="MISSED", reason="outside ≤ 1 by 0.5"),
             _target(metric="bleu", verdict="NOT COMPARABLE")]
  page = _write(tmp_path, _record(verdict="MISSED", targets=targets))
  words = _Page(page).words
  assert "1 of 3 targets reproduced; 1 missed (loss); 1 not comparable (bleu). 2 seeds." in words
  assert "outside ≤ 1 by 0.5" in words
  assert '<div class="headline bad">' in page
  assert "All 2 targets reproduced" in _Page(_write(tmp_path, _record(targets=[_target()] * 2))).words


def test_time_is_shared_out_and_the_rest_is_named(tmp_path):
  words = _Page(_write(tmp_path, curves={"0": _rows(0)})).words
  assert "compile 25.0 % · 25 s" in words and "step 50.0 % · 50 s" in words and "everything else 25.0 % · 25 s" in words
  assert "1,002 examples per second (median)" in words


def test_settings_that_differ_come_first(tmp_path):
  config = {"class": "research.figures.Mark", "axis": "x", "value": 1.0, "label": {"class": "research.figures.Figure",
            "title": "t", "caption": "", "y_scale": "log"}}
  words = _Page(_write(tmp_path, config=config)).words
  first, everything = words.split("settings of this experiment")[1].split("All 6 settings")
  assert "label.y_scale" in first and "label.title" in first and "label.caption" not in first
  assert "label.caption" in everything and "linear" in everything


# --- merging seeds ---------------------------------------------------------------------------------------------------


def _figure(*series, title="t", marks=()):
  return Figure(title, "x", "y", tuple(series), marks=tuple(marks))


def _path(svg: str) -> list[list[tuple[float, float]]]:
  """The open lines of a drawing that have a series' colour, as points."""
  lines = re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; stroke: var\(--series-1\)', svg)
  return [[tuple(map(float, p)) for p in re.findall(r"[ML] (\S+) (\S+)", line)] for line in lines]


def test_seeds_of_a_title_and_label_become_one_series():
  a, b = (lambda s: Series("a", [1, 2], [s, s])), Series("b", [1, 2], [0, 1])
  [plot] = plotting.merge({str(s): [_figure(a(s), b)] for s in range(3)})
  assert [(g.label, len(g.runs)) for g in plot.groups] == [("a", 3), ("b", 3)]
  plots = plotting.merge({"0": [_figure(title="t"), _figure(title="u")], "1": [_figure(title="u")]})
  assert [p.title for p in plots] == ["t", "u"]


def test_two_series_of_one_figure_are_never_seeds_of_each_other():
  [plot] = plotting.merge({"0": [_figure(Series("", [1], [0]), Series("", [1], [5]))]})
  assert [len(g.runs) for g in plot.groups] == [1, 1]


def test_the_line_is_the_mean_of_the_seeds_and_the_band_reaches_from_the_smallest_to_the_largest():
  x = [0.0, 1.0, 2.0]
  alone = lambda y: _path(plotting.draw(plotting.merge({"0": [_figure(Series("a", x, y))]})[0], "p").svg)[0]
  seeds = [[0.0, 4.0, 0.0], [0.0, 8.0, 0.0], [0.0, 9.0, 0.0]]
  drawing = plotting.draw(plotting.merge({str(i): [_figure(Series("a", x, y))] for i, y in enumerate(seeds)})[0], "p")
  lines = _path(drawing.svg)
  heights = sorted({round(line[0][1] - line[1][1], 2) for line in lines})  # each line rises from 0 to its peak
  assert len(lines) == 4 and len(alone(seeds[0])) == 3
  assert np.allclose(np.array(heights) / heights[-1], np.array([4, 7, 8, 9]) / 9, atol=1e-3)
  assert drawing.remarks == ("Mean of 3 seeds; band from the smallest to the largest.",)


def test_the_mean_ends_where_a_seed_is_no_longer_finite():
  y = [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, math.nan, math.nan]]
  [plot] = plotting.merge({str(i): [_figure(Series("a", [0, 1, 2, 3], v))] for i, v in enumerate(y)})
  drawing = plotting.draw(plot, "p")
  mean = _path(drawing.svg)[-1]  # drawn over the thin lines of the seeds
  assert len(mean) == 2
  assert drawing.remarks[0] == "2 values are not finite and not shown."


def test_seeds_that_were_measured_at_different_places_are_drawn_one_by_one():
  [plot] = plotting.merge({"0": [_figure(Series("a", [0, 1], [0, 1]))], "1": [_figure(Series("a", [0, 2], [0, 1]))]})
  drawing = plotting.draw(plot, "p")
  assert len(_path(drawing.svg)) == 2
  assert drawing.remarks == ("Each of 2 seeds drawn where it was measured.",)


def test_members_share_a_plot_and_a_theory_they_agree_on():
  theory = Series("theory", [1, 2], [0, 1], "theory")
  runs = {f"{m}/{s}": [_figure(Series("loss", [1, 2], [s, 1]), theory)] for m in ("wide", "deep") for s in (0, 1)}
  [plot] = plotting.merge(runs)
  assert [(g.label, len(g.runs)) for g in plot.groups] == [("wide · loss", 2), ("theory", 4), ("deep · loss", 2)]
  assert plotting.draw(plot, "p").remarks == ("Mean of 2 seeds; band from the smallest to the largest.",)
  many = {f"{m}/0": [_figure(*(Series(f"s{i}", [1], [1]) for i in range(5)))] for m in ("wide", "deep")}
  assert [p.title for p in plotting.merge(many)] == ["t · wide", "t · deep"]


@pytest.mark.parametrize("labels", [
    ("seed 0", "seed 1", "all seeds"), ("runs/seed0", "runs/seed1", "."), ("0", "1", "2")])
def test_names_of_seeds_are_not_names_of_members(labels):
  [plot] = plotting.merge({label: [_figure(Series("a", [1], [1]))] for label in labels})
  assert [(g.label, len(g.runs)) for g in plot.groups] == [("a", 3)]


def test_a_mark_that_differs_between_seeds_is_drawn_for_each_and_named_once():
  figure = lambda seed: _figure(Series("a", [0, 9], [0, 1]), marks=[Mark("x", seed + 1, "threshold")])
  [plot] = plotting.merge({str(s): [figure(s)] for s in (0, 1)})
  drawing = plotting.draw(plot, "p")
  assert plot.marks == {("x", "threshold"): (1, 2)}
  assert drawing.svg.count(">threshold<") == 1


def test_labels_of_marks_do_not_overlap():
  marks = [Mark("y", 0.5 + 0.001 * i, f"number {i}") for i in range(5)]
  marks += [Mark("x", 5 + 0.01 * i, f"place {i}") for i in range(5)]
  [plot] = plotting.merge({"0": [_figure(Series("a", [0, 9], [0, 1]), marks=marks)]})
  svg = plotting.draw(plot, "p").svg
  text, boxes = r'<text style="([^"]*)" x="([\d.]+)" y="([\d.]+)"[^>]*>((?:number|place) \d)<', []
  for style, x, y, label in re.findall(text, svg):
    right = float(x) if "end" in style else float(x) + 5.5 * len(label)
    boxes.append((right - 5.5 * len(label), float(y) - 10, right, float(y)))
  assert len(boxes) == 10
  meet = lambda a, b: a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
  assert not any(meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_bars_at_uneven_numbers_stand_side_by_side():
  bars, theory = Series("a", [1, 2, 64], [1, 2, 3], "bars"), Series("t", [1, 64], [1, 3], "theory")
  [plot] = plotting.merge({"0": [_figure(bars, theory)]})
  svg = plotting.draw(plot, "p").svg
  assert all(f">{name}<" in svg for name in ("1", "2", "64"))


def test_a_bar_is_missing_where_a_seed_is_not_finite():
  figure = lambda y: [_figure(Series("a", ["p", "q"], y, "bars"))]
  svg = lambda y: plotting.draw(plotting.merge({"0": figure([1, 2]), "1": figure(y)})[0], "p").svg
  bars = lambda drawn: len(re.findall(r'<path d="M [^"]+"[^>]*style="fill: var\(--series-1\)', drawn))
  assert bars(svg([1, 3])) == 2
  assert bars(svg([1, math.nan])) == 1


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "written"), [
    (0.97123, "0.9712"), (0.97, "0.97"), (235146, "235,146"), (235146.0, "235,146"), (12345.678, "12,346"), (0, "0"),
    (-0.5, "−0.5"), (3.2e-9, "3.2×10⁻⁹"), (1e-5, "10⁻⁵"), (-1e-5, "−10⁻⁵"), (1.5e22, "1.5×10²²"), (1e20, "10²⁰"),
    (0.0001, "0.0001"), (None, "–"), (math.nan, "not a number"), (-math.inf, "−∞")])
def test_numbers(value, written):
  assert number(value) == written


def test_values_that_differ_are_written_so_that_they_differ():
  assert digits_apart([0.97, 0.9701]) == 4
  assert number(0.970004, digits_apart([0.970004, 0.97])) == "0.970004"
  assert digits_apart([1.0, 1.0, None, math.nan]) == 4
