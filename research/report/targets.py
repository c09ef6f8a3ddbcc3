"""What a report says of the targets: the verdict in a sentence, the table, the paper's number beside ours."""

import math
from collections.abc import Mapping, Sequence

from research.report import markup
from research.report.markup import number, text

_TONES = {  # verdict to CSS class and sign: colour alone would not reach everybody
    "REPRODUCED": ("good", "✓"), "MISSED": ("bad", "✗"), "NOT COMPARABLE": ("unlike", "≠"), "NOT RUN": ("none", "–")}


def headline(record: Mapping) -> str:
  """The verdict as a coloured badge, and how many targets came out in which way."""
  verdict = record.get("verdict")
  return f'<div class="headline {_tone(verdict)[0]}">{_badge(verdict)}<p>{_sentence(record)}</p></div>'


def _tone(verdict) -> tuple[str, str]:
  return _TONES.get(verdict, _TONES["NOT RUN"])


def _badge(verdict) -> str:
  tone, sign = _tone(verdict)
  return f'<span class="badge {tone}">{sign} {text(verdict or "NOT RUN")}</span>'


def _sentence(record: Mapping) -> str:
  targets, seeds = record.get("targets") or (), record.get("seeds") or ()
  if not targets:
    return "No target was set for this run."
  num, met = len(targets), sum(t.get("verdict") == "REPRODUCED" for t in targets)
  parts = [f"{'All' if met == num > 1 else f'{met} of'} {num} target{'s' * (num > 1)} reproduced"]
  for verdict in ("MISSED", "NOT RUN", "NOT COMPARABLE"):
    names = [text(t.get("metric")) for t in targets if t.get("verdict") == verdict]
    if names:
      parts.append(f"{len(names)} {verdict.lower()} ({', '.join(names)})")
  return "; ".join(parts) + (f". {len(seeds)} seed{'s' * (len(seeds) > 1)}." if seeds else ".")


def targets_table(targets: Sequence[Mapping]) -> str:
  """A row a target; on a phone the style sheet makes each a card."""
  if not targets:
    return ""
  names = ('<th>What the paper says</th><th class="number">Paper</th><th class="number">Criterion</th><th>Ours</th>'
           "<th>Verdict</th>")
  return (f'<div class="targets card"><table>\n<thead><tr>{names}</tr></thead>\n<tbody>\n'
          + "\n".join(map(_row, targets)) + "\n</tbody></table></div>")


def _row(target: Mapping) -> str:
  value, seeds, interval = target.get("value"), target.get("per_seed") or (), target.get("interval")
  digits = markup.digits_apart([value, target.get("published"), target.get("low"), target.get("high")])
  show = lambda v: number(v, digits)
  below = []
  if len(seeds) > 1 and len(set(seeds)) == 1:
    below.append(f"each of {len(seeds)} seeds")
  else:
    below += [f"95 %: {show(interval[0])} to {show(interval[1])}"] if interval else []
    below += [f"seeds: {' · '.join(map(show, seeds))}"] if len(seeds) > 1 else []
  place = [text(target.get("place") or ""), f"<code>{text(target.get('metric'))}</code>"]
  place += ['<span class="tag">control: must fail</span>'] if target.get("control") else []
  sub = lambda inner: f'<span class="sub">{inner}</span>' if inner else ""
  return f"""<tr>
<td>{text(target.get("says") or "")}{sub(" · ".join(filter(None, place)))}</td>
<td class="number" data-label="Paper"><div>{show(target.get("published"))}</div></td>
<td class="number" data-label="Criterion"><div>{text(target.get("criterion") or "–")}</div></td>
<td data-label="Ours"><div><span class="ours">{show(value)}</span>{"".join(map(sub, below))}</div></td>
<td data-label="Verdict"><div>{_badge(target.get("verdict"))}{sub(text(target.get("reason") or ""))}</div></td>
</tr>"""


def strips(targets: Sequence[Mapping]) -> str:
  """Every target that has a number on a line of its own, with what its signs mean."""
  drawn = [(target, _strip(target, f"s{i}")) for i, target in enumerate(targets)]
  drawn = [(target, drawing) for target, drawing in drawn if drawing]
  if not drawn:
    return ""
  shown = lambda test: any(test(target) for target, _ in drawn)
  keys = [key for key, is_shown in (
      (("diamond", "currentColor", "the paper’s number"), shown(lambda t: t.get("published") is not None)),
      (("points", "var(--series-1)", "ours"), True),
      (("interval", "var(--series-1)", "its 95 % interval"), shown(lambda t: t.get("interval"))),
      (("seed", "var(--series-1)", "one seed"), shown(lambda t: len(t.get("per_seed") or ()) > 1)),
      (("band", "var(--accepted)", "accepted"), shown(lambda t: not t.get("control"))),
      (("band", "var(--refused)", "where a control must not be"), shown(lambda t: t.get("control")))) if is_shown]
  rows = "\n".join(_strip_figure(target, drawing) for target, drawing in drawn)
  return f'<div class="above">{markup.legend(keys)}</div>\n<div class="card strips">\n{rows}\n</div>'


def _strip_figure(target: Mapping, drawing: str) -> str:
  value, published = target.get("value"), target.get("published")
  digits = markup.digits_apart([value, published])
  words = [] if published is None else [f"paper {number(published, digits)}"]
  words.append("<b>not measured</b>" if value is None else f"<b>ours {number(value, digits)}</b>")
  if target.get("criterion"):
    words.append(f"{'must not be' if target.get('control') else 'accepted'} {text(target['criterion'])}")
  return f"""<figure>
<h3><span>{text(target.get("metric"))}</span> {_badge(target.get("verdict"))}</h3>
<p>{" · ".join(f"<span>{word}</span>" for word in words)}</p>
{drawing}
</figure>"""


def _strip(target: Mapping, prefix: str) -> str | None:
  """Criterion as a band, the paper's figure, ours with interval and seeds; None if there is no number to draw."""
  finite = lambda values: [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
  interval, seeds = finite(target.get("interval") or ()), finite(target.get("per_seed") or ())
  value, published = finite([target.get("value")]), finite([target.get("published")])
  low, high = ((finite([target.get(end)]) or [edge])[0] for end, edge in (("low", -math.inf), ("high", math.inf)))
  every = [*interval, *seeds, *value, *published, *finite([low, high])]
  if not every:
    return None
  # A bound of 0 has no place on a logarithmic axis, but there its band may reach to the edge.
  rest = [v for v in every if v != 0 or low != 0]
  log = min(rest, default=0) > 0 and max(rest) / min(rest) > 100
  first, last = (math.log10(min(rest)), math.log10(max(rest))) if log else (min(every), max(every))
  pad = 0.12 * (last - first) or 0.1 * abs(first) or 1.0
  view = [first - pad, last + pad]
  view = [10.0**v for v in view] if log else view
  with markup.matplotlib_settings():
    canvas, ax = markup.axes(62)
    if log:
      ax.set_xscale("log")
    ax.set(xlim=view, ylim=(-1.2, 1), yticks=[])
    colour = markup.REFUSED if target.get("control") else markup.ACCEPTED
    if not (math.isinf(low) and math.isinf(high)):
      ax.axvspan(max(low, view[0]), min(high, view[1]), color=colour, alpha=0.22, lw=0)
      for end in finite([low, high]):
        if view[0] < end < view[1]:
          ax.axvline(end, color=colour, lw=1.5)
    if len(seeds) > 1:
      ax.plot(seeds, [-0.72] * len(seeds), "o", color=markup.SERIES[0], ms=4, alpha=0.6, mew=0)
    ax.plot(interval, [0] * len(interval), color=markup.SERIES[0], lw=3.5, alpha=0.55, solid_capstyle="round")
    ax.plot(value, [0] * len(value), "o", color=markup.SERIES[0], ms=9, mew=0)
    ax.plot(published, [0.55] * len(published), "D", color="none", markeredgecolor=markup.INK, ms=7, mew=1.6)
    markup.set_ticks(ax.xaxis, log, 4)
    return markup.to_svg(canvas, prefix, f"{target.get('metric')}: paper {number(target.get('published'))}, "
                                f"criterion {target.get('criterion')}, ours {number(target.get('value'))}")
