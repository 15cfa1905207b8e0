"""How a model is run: in what precision, how much at once, by what; nothing here knows what it is run for."""

import os

# The library below torch keeps the code of each shape that it multiplied, of 1,024 of them: a gigabyte, where texts are of
# all lengths. It reads these once, at its first product; a training step has fewer shapes than 64.
for _variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_variable, "64")
