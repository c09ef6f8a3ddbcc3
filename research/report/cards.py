"""Figures that are no plots: pictures, matrices and tables. Over several seeds the first is shown, the others can be opened."""

from collections.abc import Mapping

from research.figures import Figure, Marked, Matrix, Picture, Pictures, Shaded, Table, Utterance, Utterances
from research.report.markup import number, run_name, table, text
from research.studies.base import Findings

Card = Matrix | Pictures | Table | Utterances


def grid(findings: Mapping[str, Findings]) -> str:
  """A card for each title, of all runs; "" if there are none."""
  titles: dict[str, dict[str, Card]] = {}
  for run, its in findings.items():
    for figure in its.figures:
      if not isinstance(figure, Figure):
        titles.setdefault(figure.title, {})[run] = figure
  cards = "\n".join(_card(title, by_run) for title, by_run in titles.items())
  return f'<div class="grid">\n{cards}\n</div>\n' if cards else ""


def _card(title: str, by_run: Mapping[str, Card]) -> str:
  (run, first), *others = by_run.items()
  bodies = _body(first) + "".join(
      f"<details><summary><small>{run_name(other)}</small></summary>{_body(its)}</details>" for other, its in others)
  remark = f"<small>Shown: {run_name(run)}. The others are folded.</small>" if others else ""
  caption = f"<figcaption>{text(first.caption)}{remark}</figcaption>" if first.caption or remark else ""
  return f'<figure class="card wide">\n<h3>{text(title)}</h3>\n{bodies}\n{caption}\n</figure>'


def _body(figure: Card) -> str:
  match figure:
    case Pictures():
      return _pictures(figure)
    case Utterances():
      return "\n".join(map(_utterance, figure.items))
    case Matrix():
      return _matrix(figure)
    case Table():
      return table(map(text, figure.head), (map(_words, row) for row in figure.rows))


def _words(cell: str | float | Marked | Shaded) -> str:
  if isinstance(cell, Shaded):
    shade = lambda weight: f'shaded {"less" if weight < 0 else "more"}" style="--weight: {100 * min(abs(weight), 1):.0f}%'
    return " ".join(f'<span class="{shade(weight)}">{text(piece)}</span>' for piece, weight in cell.pieces)
  if isinstance(cell, Marked):
    return "".join(f"<mark>{text(piece)}</mark>" if is_marked else text(piece) for piece, is_marked in cell.pieces)
  return text(cell) if isinstance(cell, str) else number(cell)


def _pictures(pictures: Pictures) -> str:
  if len(pictures.rows) == 1:
    (row,) = pictures.rows
    kind = "labelled" if any(picture.label for picture in row) else "small"
    return f'<div class="pictures {kind}">{"".join(map(_picture, row))}</div>'
  columns = max(map(len, pictures.rows), default=0)
  cells = "".join(_picture(row[i]) if i < len(row) else "<div></div>" for row in pictures.rows for i in range(columns))
  return f'<div class="pictures" style="grid-template-columns: repeat({columns}, minmax(44px, 128px))">{cells}</div>'


def _picture(picture: Picture) -> str:
  label = text(picture.label)
  image = f'<img alt="{label}" src="{text(picture.image)}">' if picture.image.startswith("data:image/") else ""
  return f"<div>{image}{f'<span>{label}</span>' if label else ''}</div>"


def _utterance(its: Utterance) -> str:
  said = "".join(f"<tr><th>{name}</th><td>{_words(words)}</td></tr>" for name, words in (
      ("said", its.reference), ("understood", its.hypothesis)))
  words = "".join(f'<span class="{"wrong" if is_wrong else "right"}" style="left: {100 * begin:.1f}%; width: '
                  f'{100 * (end - begin):.1f}%"><b>{text(word)}</b></span>' for word, begin, end, is_wrong in its.words)
  image = f'<img alt="" src="{text(its.picture)}">' if its.picture.startswith("data:image/") else ""
  sound = f'<audio controls preload="none" src="{text(its.sound)}"></audio>' if its.sound.startswith("data:audio/") else ""
  table = f'<div class="scroll"><table class="plain"><tbody>{said}</tbody></table></div>'
  return f'<div class="utterance"><small>{text(its.label)}</small>{table}<div class="heard">{image}{words}</div>{sound}</div>'


def _matrix(matrix: Matrix) -> str:
  head = "".join(f'<th scope="col"><span>{text(name)}</span></th>' for name in matrix.columns)
  corner = f"<td>{text(matrix.row_label)} ↓ {text(matrix.column_label)} →</td>"
  lines = []
  for name, counts in zip(matrix.rows, matrix.counts, strict=True):
    cells = (_cell(matrix.alike or name == column, count, sum(counts))
             for column, count in zip(matrix.columns, counts, strict=True))
    lines.append(f'<tr><th scope="row">{text(name)}</th>{"".join(cells)}</tr>')
  body = "\n".join(lines)
  return f"""<div class="scroll"><table class="matrix" style="--columns: {len(matrix.columns)}">
<thead><tr>{corner}{head}</tr></thead><tbody>
{body}
</tbody></table></div>"""


def _cell(is_right: bool, count: float, total: float) -> str:
  if not count:
    return "<td></td>"
  kind = "right" if is_right else "wrong"
  return f'<td class="{kind}" style="--share: {100 * count / total:.0f}%">{number(count)}</td>'
