"""The quintuplet table (LMLE, section 3.1): for every anchor its four partners, exact.

A row holds sample positions: anchor, p+ (farthest in its cluster), p− (nearest of its class outside the cluster),
p−− (farthest in the class), n (nearest of another class).

    table.py        what a table is; parts of one, merged; on disk
    pools.py        the random candidates, and the table over them
    candidates.py   the candidates in the order in which every mask is a range
    product.py      their scores, reduced range by range while they are in the cache; gpu.py: the same on a GPU
    search.py       the four partners
    hinge.py        the loss on them (Eq. 2)
"""
