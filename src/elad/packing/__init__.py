"""Token rows that begin alike, computed as one tree: for drafting, scoring and training alike."""
