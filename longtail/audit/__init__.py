"""What is wrong with a data set before anything is trained: images that are there twice, labels that may be wrong,
classes that the test subset is too small to measure.
"""
