"""One process of test_shared_batch.py: takes its share of each case, averages gradients as DDP does, and saves them.

python share_process.py FOLDER RANK WORLD
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from skufp.models.losses.exchange import all_gather
from skufp.models.losses.shared_batch import Labelled, shared_info_nce, shared_sigmoid


def main(folder: Path, rank: int, world: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    results = []
    for case in torch.load(folder / "cases.pt"):
        weights = {name: torch.nn.Parameter(value) for name, value in case["weights"].items()}
        rows, columns = case["rows_of"][rank], case["columns_of"][rank]
        a = Labelled.plain(embed(weights["a"], case["a"][rows]), case["a_label"][rows])
        b = Labelled(embed(weights["b"], case["b"][columns]), case["b_label"][columns], case["distractor"][columns])
        scale, bias = weights["scale"].exp(), weights["bias"]
        if case["loss"] == "sigmoid":
            loss = shared_sigmoid(a, b, scale, bias, case["sizes"])
        else:
            loss = shared_info_nce(a, b, scale, case["sizes"])
        loss.backward()
        value, gradients = loss.detach(), {}
        dist.all_reduce(value)
        for name, weight in weights.items():
            gradients[name] = torch.zeros_like(weight) if weight.grad is None else weight.grad
            dist.all_reduce(gradients[name])
            gradients[name] /= world
        results.append({"loss": value / world, "gradients": gradients, "gathered": all_gather(a.vectors).detach()})
    if rank == 0:
        torch.save(results, folder / "results.pt")
    dist.barrier()
    dist.destroy_process_group()


def embed(weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(inputs @ weight, dim=-1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
