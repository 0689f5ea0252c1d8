"""What the stages of OLLA do: plan the zoo's graphs, run plans for real, time solvers, pack generated instances."""
