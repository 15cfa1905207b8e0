"""Training over several processes, as torchrun starts them."""
