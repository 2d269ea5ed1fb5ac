"""Train image classifiers on class-imbalanced data, and show honestly what each method is worth."""
