"""Statistics of live experiments: units' sums, power, peeking, the sample ratio and a Bayesian view. Pure."""
