"""How a model is run: in what precision, how much at once, by what; nothing here knows what it is run for."""

import os

# oneDNN, by which torch multiplies, keeps the code of 1,024 shapes: a gigabyte, where texts are of all lengths.
# It reads these once, at its first product. A training step has fewer shapes than 64.
for _variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_variable, "64")
