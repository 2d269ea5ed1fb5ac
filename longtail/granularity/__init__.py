"""How fine the classes of a labelled set are under a distance: RS, RSM, Rank and RankM, higher is finer.

Source: Cui, "Learning from fine-grained and long-tailed visual data", chapter 6; Cui et al., Measuring dataset
granularity, 2019. docs/audit.md shows them, and says what is taken where they are silent.
"""
