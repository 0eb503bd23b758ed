"""Where the rows of a training batch come from; one file per feed. Without one they are the examples as they are."""
