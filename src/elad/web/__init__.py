"""The review page: a run seen and steered in the browser. It reads the ledger, and holds no state of its own."""
