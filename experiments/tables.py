"""The tables of an experiment, as one page of Markdown."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from experiments.choices import in_words
from experiments.matrix import Score, experiment_file
from experiments.results import MANY_TASKS, Results
from experiments.trainings import trainings_in_words
from longtail.metrics.significance import Difference
from longtail.report.titles import rule_title
from longtail.rules.large_margin import K
from longtail.rules.registry import PUBLISHED

ACCURACIES = (
    "Mean per-class accuracy on test, %, {of}: mean ± standard deviation over the seeds; the best of a column is bold, "
    "and ≈ marks what cannot be told from it (p ≥ 0.05)."
)
CHOSEN = "`chosen`: on validation, for each {of}, once where all agree; – where it was not kept."
GIVEN = f"k = {K} is the paper's and not chosen; of fewer clusters all are neighbours."
UNANSWERED = "Left out, for no cell answers by it: {rules}."
TRAININGS = "Trainings: optimiser, schedule, first learning rate and length."
SCORES = {
    "accuracy": "Overall accuracy on test, %: mean ± standard deviation over the seeds.",
    "average_f1": "F1 on test, the mean over the classes, %: mean ± standard deviation over the seeds; and the mean of "
    "all tasks less that of the baseline, with its 95 % interval over the seeds, * where p < 0.05 (paired t-test).",
    "minority_f1": "F1 on test, the mean over the classes with less than 1/K of the training images, %: likewise.",
}
OVER_SEEDS = (
    "* where p < 0.05 (paired bootstrap over the test samples and paired t-test over the seeds, the larger p of "
    "the two)"
)
OF_ONE_SEED = "† where p < 0.05 over the test samples of one seed alone: another seed may say otherwise"
DIFFERENCES = "Difference to `{baseline}` in points, 95 % interval; {test}."


def write_results(name: str, results: Results) -> Path:
    """Write `results.csv` and `results.md` into the experiment's directory; return the latter."""
    results.rows.to_csv(results.place.work / "results.csv", index=False)
    file = results.place.work / "results.md"
    file.write_text(markdown(name, results), encoding="utf-8")
    return file


def markdown(name: str, results: Results) -> str:
    """Accuracies and differences to the baseline, of each task or of their mean; all tasks; and what it took."""
    matrix, tasks = results.matrix, results.tasks
    missing = len(matrix.cells()) - len(results.found)
    lines = [f"## {matrix.title}", "", matrix.about.strip(), ""]
    if missing:
        lines += [f"**{missing} of {len(matrix.cells())} cells are missing.**", ""]
    shown: list[str | None] = [*tasks] if len(tasks) <= MANY_TASKS else [None]
    for task in shown:
        of = f"the mean of {len(tasks)} tasks" if task is None else f"task `{task}`"
        lines += [f"{ACCURACIES.format(of=of)} {_chosen(task, results)}", "", *_accuracies(task, results), ""]
        lines += [_caption(results), "", *_differences(task, results), ""]
    for score in matrix.scores:
        lines += [SCORES[score], "", *_scores(score, results), ""]
    if len(tasks) > 1:
        lines += [*_all_tasks(results), ""]
    if results.unanswered:
        lines += [UNANSWERED.format(rules=", ".join(f"`{rule}`" for rule in results.unanswered)), ""]
    return "\n".join([*lines, TRAININGS, "", *trainings_in_words(matrix), "", _cost(name, results), ""])


def _chosen(task: str | None, results: Results) -> str:
    """What stands beside a figure."""
    sentence = CHOSEN.format(of="task and seed" if task is None else "seed")
    return f"{sentence} {GIVEN}" if PUBLISHED in [rule for _, rule in results.contenders()] else sentence


def _caption(results: Results) -> str:
    """What a star says: of one seed nothing is known of others."""
    tests = [OVER_SEEDS] if len(results.seeds) > 1 else []
    if len(results.found) < len(results.matrix.cells()) or not tests:
        tests.append(OF_ONE_SEED)
    return DIFFERENCES.format(baseline=results.matrix.baseline, test="; ".join(tests))


def _all_tasks(results: Results) -> list[str]:
    """Every task in the last setting by its imbalance ratio (CRL, Table 2), and their mean with its difference to the
    baseline.
    """
    setting, contenders, baseline = results.matrix.last_setting, results.contenders(), results.baseline
    lines = [
        f"Mean per-class accuracy on test, %, all tasks ({setting}), by their imbalance ratio in training; the best of "
        f"a row is bold, and * or † marks a difference to `{baseline[0]}` as above, in each task for itself."
    ]
    lines += ["", *_heading(["task", *(_name(results, *one) for one in contenders)])]
    for task, ratio in results.ratios.items():
        means = [100 * float(results.values(task, setting, *one).mean()) for one in contenders]
        best = max((value for value in means if not np.isnan(value)), default=None)
        cells = []
        for one, value in zip(contenders, means, strict=True):
            found = None if one == baseline else results.difference(task, setting, one, baseline)
            # One decimal: the spread is in the mean.
            text = "–" if np.isnan(value) else f"**{value:.1f}**" if value == best else f"{value:.1f}"
            cells.append(text + (_mark(found) if found else ""))
        lines.append(_row([f"{task} (1:{ratio:.0f})", *cells]))
    spreads = [spread(100 * results.values(None, setting, *one)) for one in contenders]
    lines.append(_row(["mean of all", *spreads]))
    gains = [None if one == baseline else results.difference(None, setting, one, baseline) for one in contenders]
    return [*lines, _row([f"mean, to {baseline[0]}", *(_interval(gain) for gain in gains)])]


def _accuracies(task: str | None, results: Results) -> list[str]:
    """The figures of each setting, and beside them what was chosen."""
    matrix, contenders = results.matrix, results.contenders()
    columns = []
    for setting in matrix.settings:
        choices = [in_words(results.chosen(task, setting, *one)) for one in contenders]
        columns += [_column(task, setting, results, contenders), choices]
    lines = _heading(["method, rule", *(title for setting in matrix.settings for title in (setting, "chosen"))])
    for place, one in enumerate(contenders):
        lines.append(_row([_name(results, *one), *(column[place] for column in columns)]))
    for method, figures in matrix.paper.items():
        own = [cell for setting in matrix.settings for cell in (_figure(figures.get(setting)), "")]
        lines.append(_row([f"*{method}, the paper's*", *own]))
    return lines


def _scores(score: Score, results: Results) -> list[str]:
    """A score of each task and of their mean, in the last setting, and the mean's difference to the baseline."""
    setting, tasks = results.matrix.last_setting, results.tasks
    shown: list[str | None] = [*tasks, None] if len(tasks) <= MANY_TASKS else [None]
    lines = _heading(["method, rule", *(task or "mean" for task in shown), f"mean, to {results.matrix.baseline}"])
    base = results.values(None, setting, *results.baseline, score=score)
    for one in results.contenders():
        values = [100 * results.values(task, setting, *one, score=score) for task in shown]
        gain = "–" if one == results.baseline else over_seeds(values[-1] - 100 * base)
        lines.append(_row([_name(results, *one), *map(spread, values), gain]))
    return lines


def over_seeds(differences: "pd.Series[float]") -> str:
    """The mean of paired differences, its 95 % interval by Student's t, and whether it is significant."""
    found = differences.dropna()
    if len(found) < 2:
        return f"{found.mean():+.2f}" if len(found) else "–"
    mean, half = float(found.mean()), float(stats.t.ppf(0.975, len(found) - 1) * stats.sem(found))
    return f"{mean:+.2f}{'*' if abs(mean) > half else ''} [{mean - half:+.2f}, {mean + half:+.2f}]"


def _column(task: str | None, setting: str, results: Results, contenders: list[tuple[str, str]]) -> list[str]:
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


def _differences(task: str | None, results: Results) -> list[str]:
    matrix, baseline = results.matrix, results.baseline
    lines = _heading(["method, rule", *matrix.settings])
    for one in results.contenders():
        if one != baseline:
            found = [results.difference(task, setting, one, baseline) for setting in matrix.settings]
            lines.append(_row([_name(results, *one), *(_interval(gain) for gain in found)]))
    return lines


def _interval(found: Difference | None) -> str:
    if found is None:
        return "–"
    within = f" [{', '.join(f'{100 * end:+.2f}' for end in found.interval)}]" if found.interval else ""
    return f"{100 * found.mean:+.2f}{_mark(found)}{within}"


def _mark(found: Difference) -> str:
    return ("*" if found.seeds > 1 else "†") if found.significant else ""


def _cost(name: str, results: Results) -> str:
    matrix, found = results.matrix, list(results.found.values())
    commits = sorted({commit for result in found for commit in result["commits"]})
    machines = sorted({result["machine"] for result in found})
    own = [f"{matrix.budget(name):,} for {name}" for name, method in matrix.methods.items() if method.own_budget]
    exceptions = f", but {', '.join(own)}" if own else ""
    mixed = " **The cells are of several commits.**" if len(commits) > 1 else ""
    return (
        f"`{_command(name)}`: seeds {', '.join(map(str, matrix.seeds))}; "
        f"{matrix.budget(matrix.baseline):,} image passes for every method{exceptions}; {', '.join(machines)}; "
        f"commit {', '.join(commits)}.{mixed}{_ended(results)}"
    )


def _ended(results: Results) -> str:
    """Which methods were still to train, if early stopping should have ended them."""
    cut = results.ended_by_budget()
    rows = [f"{name} ({count} of {len(results.matrix.seeds) * len(results.matrix.settings)})" for name, count in cut]
    return f" **Not early stopping, but the budget ended trainings of** {', '.join(rows)}." if rows else ""


def spread(values: "pd.Series[float]") -> str:
    """Mean ± sample standard deviation; of one seed the value alone."""
    if not len(values):
        return "–"
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def _name(results: Results, method: str, rule: str) -> str:
    return f"{results.matrix.shown(method)}, {rule_title(rule)}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _heading(cells: list[str]) -> list[str]:
    return [_row(cells), _row(["---", *["---:"] * (len(cells) - 1)])]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _command(name: str) -> str:
    """Of an experiment of the repository; of a YAML elsewhere, which knows its path, the general one."""
    ours = experiment_file(name).is_file()
    return f"make experiment NAME={name}" if ours else f"python -m experiments {name}.yaml"
