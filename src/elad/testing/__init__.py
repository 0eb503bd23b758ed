"""Tools for tests of set-ups that talk to a teacher: a local server in which everything goes wrong.

>>> from elad.testing import ChaosTeacher, Fault
>>> with ChaosTeacher(seed=0, faults={Fault.RESET: 0.1}) as server:
...     print(server.base_url)  # for `teachers.openai.OpenAI(base_url=...)`, or any other client
http://127.0.0.1:...
"""

from elad.testing.batches import BatchPlan
from elad.testing.books import Books, Tally, read_log
from elad.testing.faults import TRANSIENT, Fault
from elad.testing.teacher import Changes, ChaosServer, ChaosTeacher

__all__ = ["TRANSIENT", "BatchPlan", "Books", "Changes", "ChaosServer", "ChaosTeacher", "Fault", "Tally", "read_log"]
