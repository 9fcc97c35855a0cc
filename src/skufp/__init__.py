"""skufp: exact-product visual search for fashion from one vector per SKU."""

import os

# A batch-1 forward on two threads takes six times as long while idle OpenMP threads spin;
# this has to be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"
