"""How a model is run: in what precision, how much at once, by what; nothing here knows what it is run for."""
