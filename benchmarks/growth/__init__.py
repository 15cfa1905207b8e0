"""How memory and time grow with the corpus: each size in a process of its own."""
