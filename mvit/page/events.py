"""How the page's events are sent."""

# Not queued, as each takes milliseconds: the answer comes with the request. What is queued comes over the page's one
# event stream, which the server ends when it has answered all; on a slow line the page takes an event that it sends
# meanwhile for one that this stream will answer, and waits for ever (gradio 6.31). The threads of launch() bound how
# many are at work, mvit.page.crowd how many wait.
AT_ONCE = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
# What changes while the page is still at work on it is not forgotten, but where the answer is an error. It is then sent
# with the values of that moment, but with the data of the first event: where there are such data, the page's scripts
# send it by mvit.withLatest (page.js, gradio 6.31).
LAST = {**AT_ONCE, "trigger_mode": "always_last"}
# For data that Gradio's own components give: each is answered, and in the order of the answers shown.
EACH = {**AT_ONCE, "trigger_mode": "multiple"}
