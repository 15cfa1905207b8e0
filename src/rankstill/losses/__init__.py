"""Every loss once, as a function of scores: its inputs, their shapes, and the paper that it comes from.

| loss | trains | file |
| --- | --- | --- |
| ListMLE | the ranker, its prior, the hybrids' weights | `listmle.py` |
| ListNet, RankNet, LambdaLoss, p-ListMLE | the ranker | `ranker/loss.py`, by sentence-transformers |
| KL divergence | the retriever | `kl.py` |
| margin MSE | the retriever | `margin_mse.py` |
| EMDR2, REPLUG LSR | the retriever, by a white-box language model | `emdr2.py`, `replug.py` |
| InfoNCE | the retriever, as KL divergence to one-hot labels | `kl.py`, labels by `labels/gold.py` |

`choice.py` says which of them a configuration trains the retriever by. What encodes texts and hands the scores over
lies with each model, in `ranker/loss.py` and `retriever/loss.py`.
"""
