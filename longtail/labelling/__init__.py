"""People in the loop: a queue of images that a model proposes, a page on which people decide, and their decisions."""
