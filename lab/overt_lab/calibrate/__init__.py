"""From labelled pictures to a cohort file: what a score is worth, and for whom."""
