"""The tables of an experiment: every figure from the answers on the test subset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.matrix import Cell, Matrix
from experiments.place import Place
from longtail.metrics.significance import Answers, Difference, paired_difference
from longtail.report.titles import rule_title
from longtail.rules.search import mean_class_accuracy

ACCURACY = "mean_class_accuracy"


def cell_rows(result: Path, cell: Cell, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The tidy rows of one cell: task, rule, metric and value; recalls as recall/<class>."""
    rows = []
    for task, about in found["tasks"].items():
        with np.load(result / f"answers-{task}.npz", allow_pickle=False) as answers:
            truth = answers["truth"]
            known = truth >= 0
            for rule in (name for name in answers.files if name not in ("truth", "groups")):
                said = answers[rule]
                values = {ACCURACY: mean_class_accuracy(truth[known], said[known])}
                validation = found["validation"][task].get(rule)
                values |= {} if validation is None else {f"validation_{ACCURACY}": validation}
                for code, name in enumerate(about["classes"]):
                    if (truth == code).any():
                        values[f"recall/{name}"] = float((said[truth == code] == code).mean())
                rows += [
                    {"task": task, "rule": rule, "metric": metric, "value": value} for metric, value in values.items()
                ]
    return [{"setting": cell.setting, "method": cell.method, "seed": cell.seed, **row} for row in rows]


@dataclass(frozen=True)
class Results:
    """What is done of an experiment: `rows`, and the cells with their results."""

    matrix: Matrix
    place: Place
    found: dict[tuple[str, str, int], dict[str, Any]]
    rows: pd.DataFrame

    @classmethod
    def of(cls, matrix: Matrix, place: Place) -> "Results":
        """Read the cells that are done."""
        found, rows = {}, []
        for cell in matrix.cells():
            result = place.done(cell)
            if result is not None:
                found[cell.setting, cell.method, cell.seed] = result
                rows += cell_rows(place.result(cell), cell, result)
        columns = ["setting", "method", "seed", "task", "rule", "metric", "value"]
        return cls(matrix, place, found, pd.DataFrame(rows, columns=columns))

    @property
    def tasks(self) -> list[str]:
        """The tasks that the cells classify."""
        return self.rows["task"].unique().tolist()

    @property
    def ratios(self) -> dict[str, float]:
        """Each task's imbalance ratio in training in the last setting, in ascending order; an empty class counts as one
        of one image. Tasks that no cell has there are left out.
        """
        sizes = {task: self.class_sizes(task, self.matrix.last_setting) for task in self.tasks}
        ratios = {task: max(of.values()) / max(1, min(of.values())) for task, of in sizes.items() if of}
        return dict(sorted(ratios.items(), key=lambda of_task: of_task[1]))

    def class_sizes(self, task: str, setting: str) -> dict[str, float]:
        """Training images of each class in a setting, the mean over its cells; empty where no cell has the task."""
        found = [r["tasks"][task] for key, r in self.found.items() if key[0] == setting and task in r["tasks"]]
        if not found:
            return {}
        means = np.mean([of_cell["train"] for of_cell in found], axis=0)
        return dict(zip(found[0]["classes"], means.tolist(), strict=True))

    def contenders(self) -> list[tuple[str, str]]:
        """The rows of the tables: methods with their rules."""
        return [(name, one) for name in self.matrix.methods for one in self.matrix.rules_of(name)]

    @property
    def baseline(self) -> tuple[str, str]:
        """The method that the others are compared with, by its own rule."""
        return self.own(self.matrix.baseline)

    def own(self, method: str) -> tuple[str, str]:
        """A method with its own rule."""
        return method, self.matrix.rules_of(method)[0]

    def values(self, task: str, setting: str, method: str, rule: str, metric: str = ACCURACY) -> "pd.Series[float]":
        """One figure of each seed."""
        r = self.rows
        mask = (r.task == task) & (r.setting == setting) & (r.method == method)
        return r[mask & (r.rule == rule) & (r.metric == metric)].set_index("seed")["value"]

    def means(self, setting: str, method: str, rule: str) -> "pd.Series[float]":
        """The mean accuracy over all tasks, of each seed that has them all."""
        of_tasks = [self.values(task, setting, method, rule) for task in self.tasks]
        return pd.concat(of_tasks, axis=1).dropna().mean(axis=1)

    def mean_difference(self, setting: str, first: tuple[str, str], second: tuple[str, str]) -> Difference | None:
        """As `difference`, of the mean over all tasks."""
        seeds = sorted(set(self.means(setting, *first).index) & set(self.means(setting, *second).index))
        if not seeds:
            return None
        joined = [[self._answers(task, setting, seed, first, second) for task in self.tasks] for seed in seeds]
        about = next(found["tasks"] for key, found in self.found.items() if key[0] == setting)
        sizes = [len(about[task]["classes"]) for task in self.tasks]
        weights = np.repeat(1 / np.array(sizes), sizes)
        return paired_difference([_as_one_task(of_seed, sizes) for of_seed in joined], weights=weights)

    def difference(self, task: str, setting: str, first: tuple[str, str], second: tuple[str, str]) -> Difference | None:
        """Two contenders on the seeds in which both classify the task; None if there are none."""
        seeds = sorted(set.intersection(*(set(self.values(task, setting, *one).index) for one in (first, second))))
        if not seeds:
            return None
        return paired_difference([self._answers(task, setting, seed, first, second) for seed in seeds])

    def _answers(self, task: str, setting: str, seed: int, first: tuple[str, str], second: tuple[str, str]) -> Answers:
        said = []
        for method, rule in (first, second):
            cell = Cell.model_validate(self.found[setting, method, seed]["cell"])
            with np.load(self.place.result(cell) / f"answers-{task}.npz", allow_pickle=False) as answers:
                said.append((answers["truth"], answers["groups"], answers[rule]))
        (truth, groups, one), (other_truth, _, other) = said
        if not np.array_equal(truth, other_truth):
            raise ValueError(f"{first[0]} and {second[0]} were tested on different samples in {setting}, seed {seed}")
        return Answers(truth, one, other, groups)


def _as_one_task(answers: list[Answers], sizes: list[int]) -> Answers:
    """The answers of several tasks one after the other, the classes of each behind those before it."""
    starts = np.cumsum([0, *sizes[:-1]])

    def joined(values: list[Any]) -> Any:
        return np.concatenate([np.where(v >= 0, v + start, -1) for v, start in zip(values, starts, strict=True)])

    truth, first, second = (joined([getattr(one, name) for one in answers]) for name in ("truth", "first", "second"))
    return Answers(truth, first, second, np.concatenate([np.asarray(one.groups) for one in answers]))


def write_results(name: str, results: Results) -> Path:
    """Write `results.csv` and `results.md` into the experiment's directory; return the latter."""
    results.rows.to_csv(results.place.work / "results.csv", index=False)
    file = results.place.work / "results.md"
    file.write_text(markdown(name, results), encoding="utf-8")
    return file


def markdown(name: str, results: Results) -> str:
    """The tables: accuracies; differences to the baseline; what it took."""
    matrix = results.matrix
    missing = len(matrix.cells()) - len(results.found)
    lines = [f"## {matrix.title}", "", matrix.about.strip(), ""]
    if missing:
        lines += [f"**{missing} of {len(matrix.cells())} cells are missing.**", ""]
    if len(results.tasks) > 1:
        lines += [*_all_tasks(results), ""]
    for task in results.tasks:
        lines += [
            f"Mean per-class accuracy on test, %, task `{task}`: mean ± standard deviation over the seeds; the best "
        ]
        lines[-1] += "of a column is bold, and ≈ marks what cannot be told from it (p ≥ 0.05)."
        lines += ["", *_accuracies(task, results), ""]
        lines += [
            f"Difference to `{matrix.baseline}` in points, 95 % interval; * where p < 0.05 (paired bootstrap over "
        ]
        lines[-1] += "the test samples and paired t-test over the seeds, the larger p of the two)."
        lines += [""]
        lines += [*_differences(task, results), ""]
    return "\n".join([*lines, _cost(name, results), ""])


def _all_tasks(results: Results) -> list[str]:
    """Every task in the last setting by its imbalance ratio (CRL, Table 2), and their mean with its difference to the
    baseline.
    """
    setting, contenders = results.matrix.last_setting, results.contenders()
    ratios = results.ratios
    columns = [
        *(f"{task} (1:{ratio:.0f})" for task, ratio in ratios.items()),
        "mean of all",
        f"to {results.matrix.baseline}",
    ]
    lines = [f"Mean per-class accuracy on test, %, all tasks ({setting}), by their imbalance ratio in training."]
    lines += ["", *_heading(["method, rule", *columns])]
    for one in contenders:
        means = [100 * float(results.values(task, setting, *one).mean()) for task in ratios]
        # One decimal: the table is wide, and the spread is in the mean.
        cells = [
            *("–" if np.isnan(value) else f"{value:.1f}" for value in means),
            spread(100 * results.means(setting, *one)),
        ]
        cells.append(
            "–" if one == results.baseline else _interval(results.mean_difference(setting, one, results.baseline))
        )
        lines.append(_row([_name(*one), *cells]))
    return lines


def _accuracies(task: str, results: Results) -> list[str]:
    matrix, contenders = results.matrix, results.contenders()
    columns = [_column(task, setting, results, contenders) for setting in matrix.settings]
    lines = _heading(["method, rule", *matrix.settings])
    for place, (method, rule) in enumerate(contenders):
        lines.append(_row([_name(method, rule), *(column[place] for column in columns)]))
    for method, figures in matrix.paper.items():
        lines.append(_row([f"*{method}, the paper's*", *(_figure(figures.get(s)) for s in matrix.settings)]))
    return lines


def _column(task: str, setting: str, results: Results, contenders: list[tuple[str, str]]) -> list[str]:
    values = [100 * results.values(task, setting, *one) for one in contenders]
    means = [float(v.mean()) if len(v) else -1.0 for v in values]
    best = int(np.argmax(means))
    cells = []
    for place, (one, of_seeds) in enumerate(zip(contenders, values, strict=True)):
        text = spread(of_seeds)
        if len(of_seeds) and place == best:
            text = f"**{text}**"
        elif len(of_seeds):
            against = results.difference(task, setting, contenders[best], one)
            text += " ?" if against is None else "" if against.significant else " ≈"
        cells.append(text)
    return cells


def _differences(task: str, results: Results) -> list[str]:
    matrix, baseline = results.matrix, results.baseline
    lines = _heading(["method, rule", *matrix.settings])
    for one in results.contenders():
        if one != baseline:
            found = [results.difference(task, setting, one, baseline) for setting in matrix.settings]
            lines.append(_row([_name(*one), *map(_interval, found)]))
    return lines


def _interval(found: Difference | None) -> str:
    if found is None:
        return "–"
    mark = "*" if found.significant else ""
    return f"{100 * found.mean:+.2f}{mark} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def _cost(name: str, results: Results) -> str:
    found = list(results.found.values())
    commits = sorted({commit for result in found for commit in result["commits"]})
    machines = sorted({result["machine"] for result in found})
    mixed = " **The cells are of several commits.**" if len(commits) > 1 else ""
    return (
        f"`make experiment NAME={name}`: seeds {', '.join(map(str, results.matrix.seeds))}; "
        f"{results.matrix.cells()[0].budget():,} image passes for every method; {', '.join(machines)}; "
        f"commit {', '.join(commits)}.{mixed}"
    )


def spread(values: "pd.Series[float]") -> str:
    """Mean ± sample standard deviation; of one seed the value alone."""
    if not len(values):
        return "–"
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def _name(method: str, rule: str) -> str:
    return f"{method}, {rule_title(rule)}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _heading(cells: list[str]) -> list[str]:
    return [_row(cells), _row(["---", *["---:"] * (len(cells) - 1)])]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
