"""The locks: each holds what pyproject.toml asks for its image, with hashes, and names no server to take it from."""

import re
import tomllib
from pathlib import Path

import pytest

from longtail.tracking import log

ROOT = Path(__file__).parents[1]
LOCKS = sorted(path.stem for path in (ROOT / "requirements").glob("*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
IMAGES = ["cpu", "cuda"]


def pins(lock: str) -> dict[str, str]:
    """What a lock says of each package, by its name."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    return {re.split("==", entry)[0]: entry for entry in re.split(r"\n(?=\S)", text.strip())}


def names(requirements: list[str]) -> set[str]:
    """The packages that are asked for, without versions and extras."""
    return {re.split(r"[<>=\[]", one)[0] for one in requirements}


def extras(lock: str) -> list[str]:
    """The extras that `make lock` resolves for a lock."""
    (command,) = re.findall(rf"\$\(COMPILE\) (.*) -o requirements/{lock}\.lock", (ROOT / "Makefile").read_text("utf-8"))
    return list(EXTRAS) if "--all-extras" in command else re.findall(r"--extra (\S+)", command)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    found = pins(lock)
    assert found
    assert [name for name, entry in found.items() if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert "://" not in "".join(found.values())


@pytest.mark.parametrize("lock", ["dev", *IMAGES])
def test_a_lock_holds_what_its_extras_ask_for(lock: str) -> None:
    wanted = names(PROJECT["dependencies"]).union(*(names(EXTRAS[extra]) for extra in extras(lock)))
    assert wanted - pins(lock).keys() == set()


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_of_steps_can_measure_its_machine(image: str) -> None:
    """MLflow's monitors are silent without these: no step would fail, and no run have its load."""
    found = pins(image)
    assert {"mlflow-skinny", "psutil"} <= found.keys()
    assert ("nvidia-ml-py" in found) == ("torch" in found)


def test_a_served_model_asks_for_nothing_that_measures_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{one}; extra == '{extra}'" for extra, asked in EXTRAS.items() for one in asked]
    monkeypatch.setattr(log.metadata, "requires", lambda _: [*PROJECT["dependencies"], *lines])
    assert names(log.requirements()) == names(PROJECT["dependencies"]) | names(EXTRAS["torch"]) | {"mlflow"}
