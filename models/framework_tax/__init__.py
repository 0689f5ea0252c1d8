"""What latency tells of a framework's share: templates, fits of latency over batches, and operations counted.

Fernandez et al. 2023, The Framework Tax (EMNLP, 2023.emnlp-main.98).
"""
