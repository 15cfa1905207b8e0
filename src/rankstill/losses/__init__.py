"""Every loss once, as a function of scores. What encodes texts for them lies with each model: `ranker/loss.py` and
`retriever/loss.py`."""
