"""The two commands on the command line, with their options."""

from pathlib import Path

import pytest
from queues import LabelServer
from typer.testing import CliRunner

from longtail.__main__ import app
from longtail.errors import DataError
from longtail.labelling.queue import Queue
from longtail.labelling.session import Session


def test_propose_and_export_by_the_command_line(trained: Path, tmp_path: Path) -> None:
    index, queue = str(trained / "index/softmax"), tmp_path / "queue"
    words = ["propose", str(trained / "photos/cross"), "--index", index, "--output", str(queue), "--by", "random"]
    done = CliRunner().invoke(app, [*words, "--seed", "2", "--twice", "0.5", "--confidence", "0.2"])
    assert (done.exit_code, "44 images to decide on" in done.output) == (0, True), done.output
    info = Queue.open(queue).info
    assert (info.by, info.seed, info.twice, info.confidence, info.counts.twice) == ("random", 2, 0.5, 0.2, 22)
    session = Session(Queue.open(queue))
    session.decide("Ada", session.next("Ada", 1)[0].item, "yes")
    session.close()
    done = CliRunner().invoke(app, ["label", str(queue), "--export", str(tmp_path / "d.csv")])
    assert (done.exit_code, "1 decisions on 44 items" in done.output) == (0, True), done.output
    done = CliRunner().invoke(app, ["label", str(queue), "--import", str(tmp_path / "d.csv")])
    assert "0 decisions added, 1 were there" in done.output


@pytest.mark.parametrize("words", [["--by", "chance"], ["--confidence", "1.5"], ["--twice", "-1"], ["--seed", "x"]])
def test_a_wrong_option_is_a_usage_error(tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, ["propose", "x", "--index", "i", "--output", str(tmp_path / "q"), *words])
    assert done.exit_code == 2


def test_the_token_may_come_by_the_environment(queue: Queue) -> None:
    environment = {"LONGTAIL_LABEL_TOKEN": "x" * 15}
    done = CliRunner().invoke(app, ["label", str(queue.path)], env=environment)
    assert isinstance(done.exception, DataError)
    assert "could be guessed" in str(done.exception)


def test_another_address_of_this_machine(queue: Queue) -> None:
    server = LabelServer(queue.path, "--host", "::1")
    assert server.address == f"http://[::1]:{server.port}/"
    assert server.end()[0] == 0
