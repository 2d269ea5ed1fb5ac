"""What is predicted. A problem has labels, a headline score, metrics, and a section of the report."""
