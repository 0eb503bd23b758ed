"""Who is asked and paid: one file per kind, each a small frozen value with `open() -> Teacher`."""
