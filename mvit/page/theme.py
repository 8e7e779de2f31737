"""How the page looks, and what its browser does by itself: Gradio's theme, and the files in ``static/``."""

from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"

# The fonts that Gradio itself serves, so that nothing is fetched from elsewhere; of both families its weight 600 is a
# fragment without most letters (gradio 6.31), so 700 stands in.
THEME = gr.themes.Default(
    primary_hue="violet", neutral_hue="slate", radius_size="lg",
    font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
    font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
)
CSS = (STATIC / "page.css").read_text(encoding="utf-8")
HEAD = "".join(f"<script>{(STATIC / name).read_text(encoding='utf-8')}</script>" for name in ("page.js", "address.js"))
