"""The focal loss against its equation; and docs/add-a-method.md, whose example it is, followed to the letter."""

import math
import re
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tiny import PARAMETERS, evaluate_models, run_stage

from longtail.artifacts.yaml_file import read_yaml
from longtail.methods.focal import focal_loss
from longtail.training.declared import declared_trainings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/add-a-method.md").read_text()


def slow(logits: list[float], code: int, gamma: float) -> float:
    """(1 − p)^γ · −log p, in double precision."""
    total = math.fsum(math.exp(z - max(logits)) for z in logits)
    p = math.exp(logits[code] - max(logits)) / total
    log_p = logits[code] - max(logits) - math.log(total)
    return -((1 - p) ** gamma) * log_p


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=6),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
)
def test_it_is_the_papers_equation(logits: list[float], code: int, gamma: float) -> None:
    code %= len(logits)
    found = focal_loss(torch.tensor([logits]), torch.tensor([code]), gamma)
    assert float(found) == pytest.approx(slow(logits, code, gamma), rel=1e-4, abs=1e-6)


def test_a_weight_stays_out_of_the_probability() -> None:
    """Where the weight is inside, p = exp(−w·CE), and this is 4.14548."""
    loss = focal_loss(torch.tensor([[0.2, -0.3, 1.1]]), torch.tensor([0]), 1.0)
    assert float(3 * loss) == pytest.approx(3.17317, abs=1e-5)


def test_without_gamma_it_is_cross_entropy() -> None:
    logits, codes = torch.randn((7, 4), generator=torch.Generator().manual_seed(0)), torch.arange(7) % 4
    assert torch.allclose(focal_loss(logits, codes, 0.0), F.cross_entropy(logits, codes, reduction="none"))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_what_is_certain_or_hopeless_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[100.0, 0.0], [-100.0, 0.0]], requires_grad=True)
    losses = focal_loss(logits, torch.tensor([0, 0]), gamma)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert losses.tolist() == pytest.approx([0, 100])
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)[number]


def test_the_guide_shows_the_method_as_it_is() -> None:
    assert block("python") == (ROOT / "longtail/methods/focal/__init__.py").read_text()
    catalogue = yaml.safe_load((ROOT / "longtail/methods/catalogue.yaml").read_text())
    assert yaml.safe_load(block("yaml"))["focal"] == catalogue["focal"]


def test_the_guides_trainings_run_and_stand_side_by_side(tmp_path: Path, prepared: Path) -> None:
    (tmp_path / "guide.yaml").write_text(block("yaml", 1))
    values = read_yaml(tmp_path / "guide.yaml")
    trainings = declared_trainings(values, "the guide")
    for name in ("dataset", "split", "start"):
        shutil.copytree(prepared / name, tmp_path / name)
    for name in trainings.fits:
        entry = values["fits"][name] | {"optimisation": PARAMETERS["fit"]["optimisation"]}
        assert entry.pop("on") == "dataset"
        paths = {"previous": f"{entry.pop('after')}/model", "model": f"{name}/model"}
        run_stage(tmp_path, "fit", paths=paths, name=name, **entry)
    evaluate_models(tmp_path, *trainings.models, baseline=trainings.baseline)
    page = (tmp_path / "report/report.html").read_text()
    assert "Focal loss, answered by the softmax head" in page
    assert "Models side by side" in page
