"""Export: the distilled retriever for other runtimes, its vectors for other programs, and the way to the Hub."""

from rankstill.extras.export.chain import export_retriever, export_to_store, export_vectors, measure_truncation
from rankstill.extras.export.hub import push

__all__ = ["export_retriever", "export_to_store", "export_vectors", "measure_truncation", "push"]
