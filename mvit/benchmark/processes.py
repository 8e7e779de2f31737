"""Processes of their own for what is measured: with nothing of one network, or one loop, when it is another's turn."""

import multiprocessing
from multiprocessing.context import ForkServerContext, SpawnContext


def fresh_processes(*modules: str) -> ForkServerContext | SpawnContext:
    """Where processes come from that have imported these modules, and done nothing else.

    Each is forked from one that has imported them, which takes no time; where there is no such thing (Windows), a
    process imports what it needs by itself. A module that is missing is passed over.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context
