"""What is said of the processor that a network works on."""

import pytest
import torch

from longtail.network.device import warn_of_bfloat16


@pytest.mark.parametrize("instructions", [{"avx2": True, "avx512_bf16": False}, {"neon": True}])
def test_bfloat16_on_a_processor_without_it_is_warned_of(
    instructions: dict[str, bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    warn_of_bfloat16("`precision`")
    assert "this processor has no bfloat16" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_nothing_is_said_of_one_that_has_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"sse2": True, name: True})
    warn_of_bfloat16("`precision`")
    assert not capsys.readouterr().err
