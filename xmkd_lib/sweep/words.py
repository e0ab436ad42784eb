"""What the numbers of a sweep say, in words: notices, verdict, caution."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.evaluation import p_floor, paired_difference
from xmkd_lib.sweep.claims import EPOCHS, Finding
from xmkd_lib.sweep.reading import UNFINISHED, Reading
from xmkd_lib.sweep.table import Unit, by_seed, lower_is_better, primary_metric, split, unbalanced, unit

SUPPORTED = " tested claims of the paper are supported"


class Notice(NamedTuple):
    """What a reader must know before the numbers."""

    head: str
    text: str


def judged_by(found: Reading, wanted: str | None = None) -> str:
    """The metric that the sweep is judged by: the one wanted, else the plan's, else the data set's usual one.

    UserError on an unknown metric, one whose name does not tell its direction, and where none is named but needed.
    """
    frame = found.finished
    metric = wanted or found.plan.metric
    if metric is None:
        metric = primary_metric(frame)
        if len(frame) and metric not in frame:
            known = ", ".join(frame.attrs["metrics"]) or "none"
            raise UserError(
                f"{found.folder}: no run has {metric}, and the sweep names no metric. Write `metric: NAME` into its "
                f"specification. Metrics found: {known}."
            )
    if len(frame) and metric not in frame.attrs["metrics"]:
        raise unknown_name("metric", metric, frame.attrs["metrics"])
    lower_is_better(metric)
    return metric


def epochs_in(frame: pd.DataFrame, metric: str) -> dict[str, str]:
    """The epochs at which a table has a metric: suffix of its column -> name. One alone has no epoch to tell apart."""
    present = {suffix: name for suffix, name in EPOCHS.items() if metric + suffix in frame}
    return present if len(present) > 1 else dict.fromkeys(present, "result")


def notices(found: Reading, metric: str) -> list[Notice]:
    """What must be said before the numbers: invented data, a mere trial, missing runs, mixed versions or seeds."""
    said = []
    if found.plan.preset == "smoke":
        said.append(
            Notice("Smoke preset: for trying out", "These runs are too short to mean anything; no verdict is given.")
        )
    if found.plan.dataset == "people":
        said.append(
            Notice(
                "Synthetic data",
                "The data set “people” is generated: its faces are drawn and its voices synthesised. What holds here "
                "is a statement about the method under known conditions, not about real speakers.",
            )
        )
    counts = {state: sum(run.state == state for run in found.runs) for state in UNFINISHED}
    if any(counts.values()):
        states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        said.append(Notice("The sweep is not finished", f"{states}. All numbers are of the finished runs."))
    if found.versions > 1:
        said.append(
            Notice(
                f"Runs of {found.versions} versions",
                "Finished runs were made by different code of the library or different versions of the notebook, and "
                "stand in one table. To have them of one version, start the sweep with --rerun-changed.",
            )
        )
    if len(found.finished) and (lacking := unbalanced(found.table, metric)):
        said.append(Notice(*lacking))
    return said


def verdict(findings: Sequence[Finding], frame: pd.DataFrame, metric: str) -> str:
    """The sweep in one paragraph of plain words, made from the numbers: what became of the paper's claims."""
    tested = [f for f in findings if f.verdict != "not tested"]
    groups = {name: [f for f in tested if f.epoch == epoch] for epoch, name in EPOCHS.items()}
    groups = {name: group for name, group in groups.items() if group}
    counts = [(sum(f.verdict == "supported" for f in group), len(group), name) for name, group in groups.items()]
    tally = [f"{k} of {n}{SUPPORTED if place == 0 else ''} at the {name}" for place, (k, n, name) in enumerate(counts)]
    sentences = [f"Judged by {unit(metric).label}, {', '.join(tally)}."] if tally else []
    sentences += [_at(name, group, unit(metric)) for name, group in groups.items()]
    absent = dict.fromkeys(f.claim.text for f in findings if f.claim not in {f.claim for f in tested})
    if absent:
        sentences.append(f"Not tested, for want of finished runs on common seeds: {'; '.join(absent)}.")
    return " ".join([*sentences, *_early_stopping(frame, metric)])


def _at(epoch: str, tested: Sequence[Finding], how: Unit) -> str:
    parts = [
        f"{word}: {', '.join(clauses)}"
        for word in ("supported", "contradicted", "not shown")
        if (clauses := _clauses([f for f in tested if f.verdict == word], how))
    ]
    return f"At the {epoch}, {'; '.join(parts)}."


def _clauses(findings: Sequence[Finding], how: Unit) -> list[str]:
    """A claim each, with its difference, or the range of differences where it was tested in several conditions."""
    clauses = []
    for claim in dict.fromkeys(finding.claim for finding in findings):
        of = [finding for finding in findings if finding.claim == claim]
        changes = f"{_range(how, [f.difference.mean for f in of])} {how.step}".rstrip()
        for name in of[0].distances:
            changes += f", {unit(name).label} {_range(unit(name), [f.distances[name].mean for f in of])}"
        where = f" in {len(of)} conditions" if len(of) > 1 else f" with {of[0].condition.where}"
        clauses.append(f"“{claim.text}”{where if of[0].condition.settings else ''} ({changes})")
    return clauses


def _range(how: Unit, values: Sequence[float]) -> str:
    ends = dict.fromkeys(how.change(value) for value in (min(values), max(values)))
    return " to ".join(ends)


def _early_stopping(frame: pd.DataFrame, metric: str) -> list[str]:
    """What choosing the epoch alone gives without distillation: every regulariser must be measured against it."""
    how = unit(metric)
    found = [
        paired_difference(by_seed(rows, f"{metric}_best"), by_seed(rows, metric))
        for condition, rows in split(frame).items()
        if condition.method == "none"
    ]
    found = [difference for difference in found if difference.n]
    if not found:
        return []
    interval = how.interval(found[0].low, found[0].high, signed=True) if len(found) == 1 else ""
    change = " ".join(filter(None, [_range(how, [d.mean for d in found]), how.step, interval]))
    return [f"For scale: choosing the epoch alone, without distillation, changes {how.label} by {change}."]


def caution(findings: Sequence[Finding]) -> str:
    """How sure the verdict can be with these seeds."""
    counts = sorted({f.difference.n for f in findings if f.difference.n})
    if not counts:
        return ""
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[-1] == 1:
        return "One common seed gives no interval: nothing can be shown yet."
    floor = f"{p_floor(counts[0]):.2g}"
    text = f"Intervals are over seeds; with {seeds} common seeds p cannot go below {floor}, before correction."
    if counts[0] < 10:
        text += " With fewer than 10 seeds the intervals are too narrow: take them as a first look."
    weak = sum(f.verdict in ("supported", "contradicted") and f.holm > 0.05 for f in findings)
    if weak:
        text += f" Verdicts that rest on the interval alone, with a Holm p above 0.05: {weak}."
    return text
