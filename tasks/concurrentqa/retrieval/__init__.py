"""What is measured on the benchmark: retrievers, readers, policies and leaks."""
