"""How fine the classes of a labelled set are under a distance: RS, RSM, Rank and RankM, higher is finer.

Source: Cui, Fine-grained and long-tailed visual recognition (thesis), chapter 6; Cui et al., Measuring dataset
granularity, 2019. docs/audit.md shows them, and says what is taken where they are silent.
"""
