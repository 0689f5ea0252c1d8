"""The same stages on other machines, by Dask: the one seam where a stage's command meets a machine, and what it needs.

Nothing here is imported where no cluster is asked for, and Dask only inside functions.
"""
