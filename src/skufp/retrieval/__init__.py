"""The FAISS index, ranking metrics, teacher selection, baselines and latency."""
