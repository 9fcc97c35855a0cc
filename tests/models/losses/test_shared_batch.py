"""Losses over a batch that processes share equal those of one big batch: in real gloo processes, uneven shares."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skufp.models.losses.contrastive import info_nce
from skufp.models.losses.shared_batch import Labelled, pairs, shared_info_nce, shared_sigmoid
from skufp.models.losses.sigmoid import sigmoid_loss

ROWS, COLUMNS, INPUT, DIM = 7, 9, 5, 4
A_LABEL = torch.tensor([0, 0, 1, 2, 2, 3, 4])
B_LABEL = torch.tensor([0, 1, 1, 2, 3, 4, 5, 0, 3])
DISTRACTOR = torch.tensor([False] * 7 + [True] * 2)


def _case(loss: str, world: int, shares: str, sizes: list[int], distractors: bool) -> dict[str, Any]:
    """A batch with its shares: dealt in turn, rows and columns in different processes, or one process idle."""
    generator = torch.Generator().manual_seed(world)
    count = COLUMNS if distractors else 7
    dealt = {
        "in turn": tuple([list(range(n))[rank::world] for rank in range(world)] for n in (ROWS, count)),
        "apart": ([list(range(ROWS)), *[[]] * (world - 1)], [*[[]] * (world - 1), list(range(count))]),
        "one idle": ([[0, 1], list(range(2, ROWS)), []][-world:], [list(range(3)), list(range(3, count)), []][-world:]),
    }[shares]  # fmt: skip
    if shares == "one idle" and world == 2:
        dealt = ([list(range(ROWS)), []], [list(range(count)), []])
    weights = {name: torch.randn(INPUT, DIM, generator=generator, dtype=torch.float64) for name in "ab"}
    weights |= {"scale": torch.tensor(1.3, dtype=torch.float64), "bias": torch.tensor(-2.0, dtype=torch.float64)}
    return {
        "loss": loss, "sizes": sizes, "weights": weights, "rows_of": dealt[0], "columns_of": dealt[1],
        "a": torch.randn(ROWS, INPUT, generator=generator, dtype=torch.float64), "a_label": A_LABEL,
        "b": torch.randn(count, INPUT, generator=generator, dtype=torch.float64), "b_label": B_LABEL[:count],
        "distractor": DISTRACTOR[:count],
    }  # fmt: skip


def _cases(world: int) -> list[dict[str, Any]]:
    return [
        _case(loss, world, shares, sizes, distractors)
        for loss in ("sigmoid", "info_nce")
        for shares in ("in turn", "apart", "one idle")
        for sizes in ([DIM], [DIM, 2])
        for distractors in (False, True)
    ]


def _one_big_batch(case: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its gradients from the plain functions, with masks written out by a double loop."""
    weights = {name: value.clone().requires_grad_() for name, value in case["weights"].items()}
    a, b = (F.normalize(case[name] @ weights[name], dim=-1) for name in "ab")
    positive, counts = (torch.zeros(len(a), len(b), dtype=torch.bool) for _ in range(2))
    for i, row in enumerate(case["a_label"]):
        for j, column in enumerate(case["b_label"]):
            positive[i, j] = row == column and not case["distractor"][j]
            counts[i, j] = row == column or not case["distractor"][j]
    parts = []
    for size in case["sizes"]:
        x, y = (F.normalize(v[:, :size], dim=-1) for v in (a, b))
        if case["loss"] == "sigmoid":
            parts.append(sigmoid_loss(x, y, positive, weights["scale"].exp(), weights["bias"], counts))
        else:
            parts.append(info_nce(x, y, positive, weights["scale"].exp(), counts))
    loss = torch.stack(parts).mean()
    loss.backward()
    return loss.detach(), {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in weights.items()}


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_together_have_the_loss_and_gradients_of_one_big_batch(world: int, tmp_path: Path) -> None:
    cases = _cases(world)
    torch.save(cases, tmp_path / "cases.pt")
    script = Path(__file__).with_name("share_process.py")
    processes = [
        subprocess.Popen([sys.executable, str(script), str(tmp_path), str(rank), str(world)], env=os.environ)
        for rank in range(world)
    ]
    assert [p.wait(timeout=120) for p in processes] == [0] * world
    for case, result in zip(cases, torch.load(tmp_path / "results.pt"), strict=True):
        loss, gradients = _one_big_batch(case)
        torch.testing.assert_close(result["loss"], loss, rtol=1e-9, atol=1e-9)
        for name, gradient in gradients.items():
            torch.testing.assert_close(result["gradients"][name], gradient, rtol=1e-9, atol=1e-9)
        rows = [row for own in case["rows_of"] for row in own]
        torch.testing.assert_close(result["gathered"], F.normalize(case["a"] @ case["weights"]["a"], dim=-1)[rows])


@pytest.mark.parametrize("loss", ["sigmoid", "info_nce"])
@pytest.mark.parametrize("sizes", [[DIM], [DIM, 2]])
def test_alone_they_are_the_plain_losses(loss: str, sizes: list[int]) -> None:
    case = _case(loss, 2, "in turn", sizes, distractors=True)
    a, b = (F.normalize(case[name] @ case["weights"][name], dim=-1) for name in "ab")
    rows, columns = Labelled.plain(a, A_LABEL), Labelled(b, B_LABEL, DISTRACTOR)
    scale, bias = case["weights"]["scale"].exp(), case["weights"]["bias"]
    if loss == "sigmoid":
        value = shared_sigmoid(rows, columns, scale, bias, sizes)
    else:
        value = shared_info_nce(rows, columns, scale, sizes)
    torch.testing.assert_close(value, _one_big_batch(case)[0])


def test_distractors_join_the_columns_with_the_label_that_they_were_drawn_from() -> None:
    one = Labelled.plain(torch.eye(3), torch.tensor([5, 6, 7])).with_distractors(torch.eye(3)[:1], torch.tensor([6]))
    positive, counts = pairs(Labelled.plain(torch.eye(3)[:2], torch.tensor([6, 8])), one)
    assert positive.tolist() == [[False, True, False, False], [False] * 4]
    assert counts.tolist() == [[True, True, True, True], [True, True, True, False]]


def test_a_loss_without_rows_is_nothing() -> None:
    nothing = Labelled.plain(torch.zeros(0, 4, requires_grad=True), torch.zeros(0, dtype=torch.long))
    columns = Labelled.plain(torch.eye(4), torch.arange(4))
    assert float(shared_sigmoid(nothing, columns, torch.tensor(5.0), torch.tensor(-1.0), [4])) == 0.0
    assert float(shared_info_nce(nothing, columns, torch.tensor(5.0), [4])) == 0.0
