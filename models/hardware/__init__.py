"""A calibrated simulator of large-scale training: time, memory and energy of a step on a cluster.

Source of the formulas: Fernandez et al. 2024 (arXiv 2411.13055), Korthikanti et al. 2022 (arXiv 2205.05198), and
the public descriptions of NCCL's ring and tree collectives. Every formula works on single values and on arrays.
"""
