"""Methods × settings of the data × seeds, declared in one YAML and run to a table.

matrix.py     what a YAML declares, and the cells that it makes
cell.py       one cell: the pipeline's own stages, to answers on the test subset
run.py        all cells, several at a time; what is done is not done again
place.py      where an experiment works, and which of its cells are done
results.py    what was found: accuracies, recalls, differences and their significance
choices.py    what was chosen on validation for a figure, in words
trainings.py  how the trainings are optimised, in words
tables.py     the tables: mean ± deviation, best, differences; of many tasks their mean, and one row each
figures.py    accuracy against imbalance, gain by class size
margins.py    the coarse search over decreasing margins
unknown_classes.py  classes that a training never saw: refused, and added
"""
