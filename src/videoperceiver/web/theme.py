"""The page's colours and type: those of the reports it shows in frames, light and dark; nothing is fetched."""

import gradio as gr

_FONT = ("Inter", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_PAPER, _INK, _MUTED, _RULE, _PANEL = ("#ffffff", "#121417"), ("#1a1c20", "#e8eaed"), ("#5a616c", "#a2a9b4"), ("#dde1e7", "#2f353e"), ("#f5f6f8", "#1a1d22")
_ACCENT, _ON_ACCENT, _ACCENT_STRONG = ("#b5430b", "#ff9a61"), ("#ffffff", "#1d0f06"), ("#93360a", "#ffb287")
_DANGER, _NONE, _FIELD = ("#a3222b", "#ff9a9f"), ("transparent", "transparent"), ("#ffffff", "#0e1013")
_COLOURS: dict[str, tuple[str, str]] = {
    "body_background_fill": _PAPER,
    "body_text_color": _INK,
    "body_text_color_subdued": _MUTED,
    "background_fill_primary": _PAPER,
    "background_fill_secondary": _PANEL,
    "border_color_primary": _RULE,
    "border_color_accent": _ACCENT,
    "color_accent_soft": _PANEL,
    "block_background_fill": _NONE,
    "block_border_color": _RULE,
    "block_label_background_fill": _PANEL,
    "block_label_text_color": _MUTED,
    "block_title_text_color": _MUTED,
    "block_info_text_color": _MUTED,
    "panel_background_fill": _NONE,
    "input_background_fill": _FIELD,
    "input_border_color": _RULE,
    "input_border_color_focus": _ACCENT,
    "input_placeholder_color": _MUTED,
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": _ACCENT_STRONG,
    "button_primary_border_color": _ACCENT,
    "button_primary_text_color": _ON_ACCENT,
    "button_secondary_background_fill": _PANEL,
    "button_secondary_background_fill_hover": _RULE,
    "button_secondary_border_color": _RULE,
    "button_secondary_text_color": _INK,
    "button_cancel_background_fill": _NONE,
    "button_cancel_background_fill_hover": _PANEL,
    "button_cancel_border_color": _DANGER,
    "button_cancel_text_color": _DANGER,
    "loader_color": _ACCENT,
}
"""Gradio's name -> light and dark."""
_SIZES = {
    "color_accent": _ACCENT[0],
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "block_title_text_weight": "500",
    "input_border_width": "1px",
    "input_padding": "10px 12px",
    "layout_gap": "20px",
    "button_border_width": "1px",
    "button_large_padding": "9px 16px",
    "button_large_text_size": "15px",
    "button_large_text_weight": "600",
    "button_transition": "none",
}


def theme() -> gr.themes.Base:
    """Gradio's default theme in our colours."""
    made = gr.themes.Default(font=_FONT, font_mono=("ui-monospace", "monospace"))
    colours = {name: light for name, (light, _) in _COLOURS.items()} | {f"{name}_dark": dark for name, (_, dark) in _COLOURS.items()}
    return made.set(**colours, **_SIZES)
