"""What is typed as ``python -m mvit.NAME``, a module each: they parse, call, and print.

(The benchmark's is ``mvit/benchmark/__main__.py``, as the package has that name already.)
"""
