"""The explanations of a batch of answers, and how faithful each is, as numbers that can be kept; and what they amount to.

Shapes: B answers, P... places, U units.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from research.interpretation import faithfulness
from research.interpretation.faithfulness import RANDOM, estimate
from research.interpretation.methods import Explainer
from research.interpretation.probing import Case, Weights
from research.interpretation.randomization import cascade, independent, spearman
from research.interpretation.settings import CONTRIBUTIONS

_DIFFERENT = 1_000  # added to the seed of what is drawn for another purpose
_MANY, _SOME = 100, 3  # random maps, where they cost nothing and where they cost passes of the network


def examine(explainer: Explainer, weights: Weights, case: Case, names: Sequence[str], *, seed: int,
            disturbances: int, between: Callable[[], None] = lambda: None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """Explains, and measures each map and a random one.

  Args:
    explainer, weights, case: what is explained.
    names: the methods.
    seed: of what is drawn for this batch.
    disturbances: changes of the input under which the maps are made again; 0 leaves `sensitivity` out.
    between: called after each map.

  Returns:
    "change" (B,), the answers' scores less the baseline's; "gap" (B,), "num_steps" and "compared_steps" of integrated
    gradients; "counts" (B, U), whether a unit matters at all; of each method and RANDOM "maps" (B, U), "compared" (B, U), the
    same with as few steps as the maps that it is compared with, and "measures" (B,). And the maps (B, P...).
  """
  probe, settings = explainer.probe, explainer.settings
  counts_BU = _counts(explainer, weights, case)
  effects = faithfulness.effects(probe, weights, case, counts_BU, num=settings.subsets, seed=settings.seed + seed)
  found: dict[str, Any] = {"change": effects.change_B, "counts": counts_BU.astype(int)}
  pooled = lambda fine: np.round(np.asarray(probe.units.pool(jnp.asarray(fine))) * counts_BU, 8)
  fine, compared = {}, {}
  for name in names:
    if name == "integrated_gradients":
      integrated = explainer.integrated(weights, case)
      steps = max((m for m in integrated.coarser if m <= settings.compared_steps), default=min(integrated.coarser))
      found |= {"gap": integrated.gap_B, "num_steps": integrated.num_steps, "compared_steps": steps}
      fine[name] = np.asarray(probe.units.places_of(integrated.attributions), np.float32)
      compared[name] = pooled(probe.units.places_of(integrated.coarser[steps]))
    else:
      fine[name] = explainer.map(name, weights, case)
      compared[name] = pooled(fine[name])
    between()
  maps = {name: pooled(its) for name, its in fine.items()}
  random = np.random.default_rng(_DIFFERENT + settings.seed + seed)
  draw = lambda: random.random(counts_BU.shape) * counts_BU
  maps[RANDOM] = compared[RANDOM] = draw()
  found |= {"maps": maps, "compared": compared, "measures": {}}
  others: dict[str, list[np.ndarray]] = {name: [] for name in maps}
  for k in range(disturbances):
    near = _disturbed(explainer, weights, case, settings.seed + seed + _DIFFERENT * (k + 1))
    for name in names:
      others[name].append(pooled(explainer.map(name, weights, near, num_steps=found.get("compared_steps"))))
      between()
    others[RANDOM].append(draw())
  for name, map_BU in maps.items():
    # Of random maps the mean of several: one is better or worse by chance.
    many, some = ([map_BU], [map_BU]) if name != RANDOM else ([draw() for _ in range(_MANY)], [draw() for _ in range(_SOME)])
    curves = [faithfulness.areas(probe, weights, case, its, counts_BU, effects.change_B, num_steps=settings.curve_steps)
              for its in some]
    measures = {**dict(zip(("deletion", "insertion"), np.mean(curves, axis=0))),
                "mu_fidelity": np.mean([faithfulness.mu_fidelity(its, effects) for its in many], axis=0),
                "infidelity": np.mean([faithfulness.infidelity(its, effects) for its in many], axis=0)}
    if name in CONTRIBUTIONS:
      measures["completeness_gap"] = np.abs(map_BU.sum(1) - effects.change_B) / np.maximum(np.abs(effects.change_B), 1e-12)
    if disturbances:
      measures["sensitivity"] = faithfulness.sensitivity(compared[name], others[name])
    found["measures"][name] = measures
  return found, fine


def forgetting(params: Any, fresh: Any, layers: Sequence[str], num_groups: int) -> dict[str, Any]:
  """The networks of the two model-randomisation checks (Adebayo et al. 2018), by what they forgot.

  Args:
    params, fresh: trained, and initialised anew.
    layers: from the top.
    num_groups: networks of either kind; layers are forgotten several at a time.
  """
  groups = [list(group) for group in np.array_split(np.array(layers, dtype=object), min(num_groups, len(layers)))]
  ends = {group[-1]: group for group in groups}
  named = lambda group: group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}"
  top = {f"from the top to {layer}": net for layer, net in cascade(params, fresh, layers) if layer in ends}
  alone = {f"only {named(group)}": net for group, net in zip(groups, independent(params, fresh, groups))}
  return {**top, **alone}


def alike(explainer: Explainer, weights: Weights, case: Case, names: Sequence[str],
          examined: Mapping[str, Any], between: Callable[[], None] = lambda: None) -> dict[str, Any]:
  """Of each method the rank correlations (B,) of |map| with that of the trained network, over the units that matter; 0 where a
  map is constant."""
  units = explainer.probe.units
  counts_BU, found = np.asarray(examined["counts"], bool), {}
  for name in names:
    fine = explainer.map(name, weights, case, num_steps=examined.get("compared_steps"))
    map_BU = np.round(np.abs(units.pool(jnp.asarray(fine))), 8)
    trained_BU = np.abs(np.asarray(examined["compared"][name]))
    rows = [(a[counts][None], b[counts][None]) for a, b, counts in zip(map_BU, trained_BU, counts_BU)]
    found[name] = [float(np.nan_to_num(spearman(a, b)[0])) for a, b in rows]
    between()
  return found


def summarize(rows: Sequence[int], batches: Sequence[Mapping[str, Any]], checks: Mapping[str, Sequence[Mapping[str, Any]]],
              names: Sequence[str]) -> dict[str, Any]:
  """All measures of all methods with intervals over examples, and the verdicts.

  Args:
    rows: the example of each answer, in the order of the batches; the last batch may have more answers than there are rows.
    batches: what `examine` found.
    checks: what each network forgot to what `alike` found, of the first batches.
    names: the methods.
  """
  whole = lambda parts: np.concatenate([np.asarray(part, np.float64) for part in parts])[:len(rows)]
  scale = float(np.mean(np.abs(whole([b["change"] for b in batches])))) or 1.0
  examples = np.asarray(rows)
  of_rows = lambda values: examples[:len(values)]
  by_example = lambda values: [float(np.nanmean(values[of_rows(values) == e])) for e in dict.fromkeys(of_rows(values))]

  def values(name, measure):
    parts = [b["measures"][name][measure] for b in batches if measure in b["measures"][name]]
    return np.array(by_example(whole(parts) / (scale if measure in ("deletion", "insertion") else 1))) if parts else np.zeros(0)

  summary = {}
  for name in (*names, RANDOM):
    its: dict[str, Any] = {m: dataclasses.asdict(estimate(values(name, m))) for m in batches[0]["measures"][name]}
    if name != RANDOM:
      differences = {
          "insertion - deletion": values(name, "insertion") - values(name, "deletion")
          - (values(RANDOM, "insertion") - values(RANDOM, "deletion")),
          "mu_fidelity": values(name, "mu_fidelity") - values(RANDOM, "mu_fidelity")}
      better = {f"{measure} above random": estimate(v) for measure, v in differences.items()}
      forgot = {net: estimate(by_example(whole([part[name] for part in parts]))) for net, parts in checks.items()}
      last = [its for net, its in forgot.items() if not net.startswith("only ")]
      its |= {**{measure: dataclasses.asdict(e) for measure, e in better.items()},
              "rank correlation after forgetting": {net: dataclasses.asdict(e) for net, e in forgot.items()},
              "verdict": faithfulness.verdict(better, last[-1] if last else None)}
    summary[name] = its
  return summary


def _counts(explainer: Explainer, weights: Weights, case: Case) -> np.ndarray:
  """(B, U): False for tokens that the score does not depend on, padding and what comes later: their gradient is always 0."""
  probe = explainer.probe
  shape = (len(case.targets), probe.units.num)
  if not probe.attachment.is_tokens:
    return np.ones(shape, bool)
  total = probe.noise_gradient(weights, case, _DIFFERENT + np.arange(4), 0.1)
  counts = np.asarray(probe.units.pool(probe.units.places_of(jnp.abs(total)))) > 0
  return counts | ~counts.any(1, keepdims=True)


def _disturbed(explainer: Explainer, weights: Weights, case: Case, seed: int) -> Case:
  """The case with its inputs moved at random, each number by up to `radius` of its example's range."""
  x = explainer.probe.inputs(weights, case)
  inner = tuple(range(1, x.ndim))
  span = explainer.settings.radius * (x.max(inner, keepdims=True) - x.min(inner, keepdims=True))
  move = span * jax.random.uniform(jax.random.key(seed), x.shape, x.dtype, -1, 1)
  # By way of the host: an array that lies where the weights do would have everything compiled anew.
  return dataclasses.replace(case, shift=jnp.asarray(jax.device_get(move)))
