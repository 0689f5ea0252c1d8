"""What a stage does: fetch, prepare, train, evaluate, judge, report."""
