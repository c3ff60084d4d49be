"""Histories of a vendor, played to the real poller, judge, store and outbox under a clock that only steps move.

    python -m tests.simulator [WORD]      prints the table: of each scenario what was observed, announced, retracted, …

history      what happens, as data: polls and how they are answered, keys rotated, processes restarted
scenarios    histories with the whole of what must be told of them
world        plays a history and tells what came of it: the parts of the program put together, or the program over HTTP
oracle       what must hold of any history, worked out from the answers alone and from nothing of `core.judge`
"""
