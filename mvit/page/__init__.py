"""The page: one module a tab, with its layout and its handlers; ``app`` puts them together."""

import os

# Before Gradio is imported, which reads them.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# After every event Gradio (6.31) makes a table of the last 10,000 for its /monitoring, which takes longer than ours.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
