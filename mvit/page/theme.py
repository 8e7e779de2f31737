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
).set(  # where Gradio's colours contrast by less than 4.5 : 1 (WCAG 2.2, 1.4.3) with what is behind or on them
    color_accent="*primary_600", body_text_color_subdued="*neutral_500",
    button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
    button_primary_border_color="*primary_600", button_primary_border_color_hover="*primary_700",
)
CSS = (STATIC / "page.css").read_text(encoding="utf-8")
SCRIPTS = "".join((STATIC / name).read_text(encoding="utf-8") for name in ("page.js", "address.js"))
HEAD = (f"<style media='print'>{(STATIC / 'print.css').read_text(encoding='utf-8')}</style>"
        f"<script>{SCRIPTS}</script>")
