"""The published settings of domain similarity, for commands that load nothing else."""

GAMMA = 0.01  # of Eq. 4.3, for features that are not normalised
LEAST = 200  # images of a source class
