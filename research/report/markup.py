"""What a page is made of: numbers, legends and matplotlib's drawings as HTML.

Colours are written as CSS variables (`--series-1` to `--series-8`, `--accepted`, `--refused`) and `currentColor`, which
the page defines, so that one drawing reads on light and dark. Text stays text, in the page's font.
"""

import contextlib
import html
import io
import math
import re
import warnings
from collections.abc import Generator, Iterable

import numpy as np

WIDTH, TEXT = 400, 11.5  # in points, which are 0.87 pixels on a phone and 1.25 on a desk
# matplotlib knows no CSS variables: it draws with these, which are replaced in what it wrote.
SERIES = [f"#fe010{i}" for i in range(8)]
THEORY = [f"#fe030{i}" for i in range(8)]  # darker on light and lighter on dark, to be seen on its series
INK, ACCEPTED, REFUSED = "#fe0200", "#fe0201", "#fe0202"
CSS = {**{c: f"var(--series-{i + 1})" for i, c in enumerate(SERIES)},
       **{c: f"color-mix(in srgb, var(--series-{i + 1}) 35%, var(--text))" for i, c in enumerate(THEORY)},
       INK: "currentColor", ACCEPTED: "var(--accepted)", REFUSED: "var(--refused)"}


def number(value, digits: int = 4) -> str:
  """A number for a reader: `digits` significant, thousands apart, whole numbers whole, far powers of ten as such."""
  if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
    return "–" if value is None else str(value)
  if not math.isfinite(value):
    return "not a number" if math.isnan(value) else "∞" if value > 0 else "−∞"
  if value == 0 or (float(value).is_integer() and abs(value) < 1e15 and (isinstance(value, int) or abs(value) < 1e7)):
    written = f"{int(value):,}"
  elif 1e-4 <= abs(value) < 1e7:
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    written = f"{value:,.{decimals}f}"
    written = written.rstrip("0").rstrip(".") if "." in written else written
  else:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    written = re.sub("^(-?)1×", r"\1", re.sub(r"\.?0+$", "", mantissa) + f"×10{power}")
  return written.replace("-", "−")


def digits_apart(values) -> int:
  """The significant digits, 4 to 8, at which those of the values that differ look different."""
  values = {v for v in values if isinstance(v, (int, float)) and math.isfinite(v)}
  return next((d for d in range(4, 8) if len({number(v, d) for v in values}) == len(values)), 8)


def text(value) -> str:
  """Any value as text of the page."""
  return html.escape(str(value))


def run_name(label: str) -> str:
  """The name of a run as text of the page: "seed 0" of "0"; other names are theirs."""
  return text(f"seed {label}" if label.isdigit() else label)


def legend(keys: Iterable[tuple[str, str, str]]) -> str:
  """A list of keys (CSS class, CSS colour, label); "" if there are none."""
  items = "".join(f'<li><span class="key {kind}" style="--c: {colour}"></span><span>{text(label)}</span></li>'
                  for kind, colour, label in keys)
  return f'<ul class="legend">{items}</ul>' if items else ""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
  """A plain table of HTML cells that scrolls in itself where it is too wide."""
  names = "".join(f"<th>{cell}</th>" for cell in head)
  lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
  return (f'<div class="scroll"><table class="plain"><thead><tr>{names}</tr></thead><tbody>\n{lines}\n</tbody>'
          "</table></div>")


def fold(title: str, note: str, body: str, *, is_open: bool = False) -> str:
  """A card that opens."""
  return (f'<details class="card"{" open" * is_open}><summary>{title} <small>{note}</small></summary>\n{body}\n'
          "</details>")


def axes(height: float):
  """A canvas of the usual width and `height` points, and quiet axes on it: no frame, a faint grid."""
  from matplotlib.figure import Figure as Canvas

  canvas = Canvas(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")
  ax = canvas.add_subplot()
  ax.spines[["top", "right", "left"]].set_visible(False)
  ax.spines["bottom"].set(alpha=0.5)
  ax.grid(color=INK, alpha=0.13, lw=0.8)
  ax.set_axisbelow(True)
  ax.tick_params(length=0, pad=5)
  return canvas, ax


def set_ticks(axis, log: bool, num_ticks: int = 5) -> None:
  """A few round ticks, written out; powers of ten only where the axis spans some."""
  from matplotlib import ticker

  low, high = sorted(axis.get_view_interval())
  if log and high / low >= 50:
    locator = ticker.LogLocator(numticks=num_ticks + 1)
  elif log and high / low >= 5:
    locator = ticker.LogLocator(subs=(1, 2, 5), numticks=20)
  else:
    locator = ticker.MaxNLocator(num_ticks, steps=(1, 2, 2.5, 5, 10))
  ticks = [float(t) for t in locator.tick_values(low, high) if low <= t <= high]
  ticks = [0.0 if not log and abs(t) < 1e-9 * (high - low) else t for t in ticks]
  digits = digits_apart(ticks)
  axis.set_ticks(ticks, [number(t, digits) for t in ticks])
  axis.set_minor_locator(ticker.NullLocator())


def clean(text) -> str:
  """What XML can carry, on one line."""
  return " ".join(re.sub(r"[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", str(text)).split())


@contextlib.contextmanager
def matplotlib_settings() -> Generator[None]:
  """matplotlib as it comes, whatever the user's settings: text as text, no formulas in it, the same bytes each time."""
  import matplotlib  # here: takes half a second to import, and only the report draws

  with matplotlib.rc_context(), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Glyph .* missing")  # matplotlib only measures it; the browser has it
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "report", "text.parse_math": False, "font.size": TEXT,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)})
    yield


def to_svg(canvas, prefix: str, label: str) -> str:
  """The canvas as an `<svg>` for inside a page: no header, no style of its own, no id but what it refers to itself."""
  out = io.StringIO()
  canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None})
  svg = out.getvalue()
  svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg"):], flags=re.S)
  names = {name: f"{prefix}-{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)))}

  def tag(match):  # only inside tags: a label may hold any text
    inner = re.sub(r' id="([^"]*)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", match[0])
    inner = re.sub(r'(url\(|href=")#([^)"]+)', lambda m: f"{m[1]}#{names[m[2]]}", inner).replace("xlink:href", "href")
    inner = re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r" font-family: [^;\"]*;?", "", inner))
    return re.sub("|".join(CSS), lambda m: CSS[m[0]], inner)

  size = f"0 0 {canvas.bbox.width:g} {canvas.bbox.height:g}"
  head = f'<svg viewBox="{size}" role="img" aria-label="{text(label)}">'
  body = re.sub(r"<[^>]+>", tag, re.sub(r"^<svg[^>]*>", "", svg))
  return head + re.sub(r"\s*\n\s*", "\n", body).strip()
