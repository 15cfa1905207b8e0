"""Proof without labels: an LLM grades what each system found, and every measure is computed by its grades.

The idea is that of UMBRELA (Upadhyay et al. 2024, https://arxiv.org/abs/2406.06519): an LLM in the assessor's place.
"""
