"""Made-up history for a first look, marked `demo`: calls, runs, comparisons, experiments, evaluations."""
