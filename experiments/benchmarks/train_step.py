"""How much keeping freed memory in the process saves on a CPU training step (compute/device.py).

python experiments/benchmarks/train_step.py   runs both settings in fresh processes, alternating, and prints medians.
"""

import json
import os
import statistics
import subprocess
import sys

ROUNDS, STEPS = 3, 5


def measure(keep: bool) -> None:
    """Print the seconds of each step of EfficientNet-Lite0 on 48 pictures of 160 px, two threads."""
    os.environ["OMP_NUM_THREADS"] = "2"
    import time

    import torch

    from skufp.compute.device import keep_freed_memory
    from skufp.models.lite import LiteEncoder

    if keep:
        keep_freed_memory()
    torch.set_num_threads(2)
    encoder = LiteEncoder()
    encoder.parameter_groups("full")
    pixels = torch.randn(48, 3, 160, 160)
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        encoder.encode_image(pixels).sum().backward()
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds[1:]))


def main() -> None:
    """Alternate the two settings and report the ratio of their medians."""
    seconds: dict[str, list[float]] = {"default": [], "keep": []}
    for _ in range(ROUNDS):
        for name in seconds:
            out = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True).stdout
            seconds[name] += json.loads(out.splitlines()[-1])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"median step: default {medians['default']:.2f} s, freed memory kept {medians['keep']:.2f} s,"
          f" ratio {medians['default'] / medians['keep']:.2f}")  # fmt: skip


if __name__ == "__main__":
    measure(sys.argv[1] == "keep") if len(sys.argv) > 1 else main()
