"""What to do with a data set, before anything is trained: what is in it, what its test subset can tell, what tables of
other data said, which methods to try in which order, and what to collect.
"""
