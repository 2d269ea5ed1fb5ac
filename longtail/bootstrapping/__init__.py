"""A data set that grows with people in the loop: turns of training, proposing, deciding and growing.

Source: the thesis "Learning from fine-grained and long-tailed visual data", section 2.2.2.
"""
