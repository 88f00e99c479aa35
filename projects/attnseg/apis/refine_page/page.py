"""The page itself: Gradio carries strokes to the model, and pictures and files back."""

import base64
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from attnseg.apis.command import UsageError
from attnseg.apis.refine_page.drawing import MAX_SIDE, Drawing, Refine, encode_png, open_drawing

# No figures about the use go anywhere, and nothing is fetched; both are read at the import.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

try:
    import gradio as gr
except ImportError as error:
    raise UsageError(
        "the page needs Gradio 6, which is not installed: pip install 'gradio>=6,<7' (or "
        "requirements/optional.txt). tools/refine_images.py works without it."
    ) from error

HOST = "127.0.0.1"
_ASSETS = Path(__file__).parent / "assets"
_VIEW_SIDE = 1600
_OVERLAY_SIDE = 1200
_BLUE = (37, 99, 235)
_KEPT = 3600
_LAYOUT = (
    "footer {display: none !important} "
    ".gradio-container {max-width: 1000px !important; margin: 0 auto !important}"
)

Result = tuple[Drawing | None, dict[str, Any]]


def build_page(refine: Refine, max_side: int = MAX_SIDE) -> gr.Blocks:
    """Lay out the page; each open tab has its own drawing.

    Args:
        refine: called as :class:`~attnseg.apis.refiner.MaskRefiner`.
        max_side: longest side in pixels that is worked on; larger images are reduced.
    """

    def opened(path: str, drawing: Drawing | None) -> Result:
        def act(_: Drawing | None) -> Result:
            new = open_drawing(path, max_side)
            return new, {"opened": _picture(new), "status": _opened_text(new, max_side)}

        return _answer(act, drawing)

    def painted(drawing: Drawing | None, event: gr.EventData) -> Result:
        data = event._data

        def act(old: Drawing | None) -> Result:
            start = time.perf_counter()
            new = _need(old, data).painted(
                refine, data["points"], float(data["radius"]), bool(data["erase"])
            )
            spent = time.perf_counter() - start
            share = 100 * float(np.mean(new.mask))
            text = f"Refined in {spent:.2f} s. The mask covers {share:.1f} % of the image."
            return new, {"status": text}

        return _answer(act, drawing, data)

    def undone(drawing: Drawing | None, event: gr.EventData) -> Result:
        data = event._data

        def act(old: Drawing | None) -> Result:
            new = _need(old, data).undone()
            left = len(new.steps)
            return new, {"status": f"Stroke undone; {left} {'is' if left == 1 else 'are'} left."}

        return _answer(act, drawing, data)

    def cleared(drawing: Drawing | None, event: gr.EventData) -> Result:
        data = event._data

        def act(old: Drawing | None) -> Result:
            return _need(old, data).cleared(), {"status": "Cleared."}

        return _answer(act, drawing, data)

    def saved(drawing: Drawing | None, event: gr.EventData) -> Result:
        data = event._data

        def act(old: Drawing | None) -> Result:
            file = _file(_need(old, data), data["form"])
            return old, {"file": file, "status": f"{file['name']} goes to your downloads."}

        return _answer(act, drawing, data)

    # Uploads are deleted after an hour, and when the program ends.
    with gr.Blocks(
        title="Mask refinement", analytics_enabled=False, delete_cache=(_KEPT, _KEPT)
    ) as page:
        drawing = gr.State(None)
        button = gr.UploadButton("Open an image", visible="hidden")
        canvas = gr.HTML(
            {},
            html_template=(_ASSETS / "page.html").read_text("utf-8"),
            css_template=(_ASSETS / "page.css").read_text("utf-8"),
            js_on_load=(_ASSETS / "page.js").read_text("utf-8"),
            apply_default_css=False,
            elem_id="paper",
        )
        # One after the other, so that each stroke sees the mask of the one before.
        options: dict[str, Any] = {
            "outputs": [drawing, canvas],
            "show_progress": "hidden",
            "trigger_mode": "multiple",
            "concurrency_limit": 1,
            "concurrency_id": "drawing",
            "api_visibility": "private",
        }
        button.upload(opened, [button, drawing], **options)
        canvas.paint_stroke(painted, [drawing], **options)
        canvas.undo_stroke(undone, [drawing], **options)
        canvas.clear_strokes(cleared, [drawing], **options)
        canvas.save_mask(saved, [drawing], **options)
    return page


def launch_page(page: gr.Blocks, port: int | None = None, block: bool = True) -> str:
    """Serve the page to this machine alone.

    Args:
        page: of :func:`build_page`.
        port: the first free one from 7860 on if None.
        block: until the process is interrupted.

    Returns:
        The address.

    Raises:
        UsageError: the port is taken.
    """
    try:
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=_LAYOUT,
            max_file_size="500mb",
            prevent_thread_lock=True,
            # Its own lines advertise public links.
            quiet=True,
            footer_links=[],
        )
    except OSError as error:
        raise UsageError(
            f"port {port} of {HOST} cannot be used: another program may have it. Give another one "
            "with --port, or none."
        ) from error
    if block:
        print(f"{address} shows the page; Ctrl+C ends it.", flush=True)
        page.block_thread()
    return address


def _answer(
    act: Callable[[Drawing | None], Result],
    drawing: Drawing | None,
    data: Mapping[str, Any] | None = None,
) -> Result:
    """What the canvas shows next; what the user did wrong becomes a message."""
    kind = "ok"
    try:
        drawing, answer = act(drawing)
    except (ValueError, FileNotFoundError) as error:
        answer, kind = {"status": str(error)}, "error"
    except Exception:
        logging.getLogger(__name__).exception("the page could not do this")
        text = "Something went wrong; the terminal of the page says what. Nothing was changed."
        answer, kind = {"status": text}, "error"
    shown = {"overlay": None, "strokes": 0} if drawing is None else _overlay(drawing)
    # Of two quick answers the canvas may see the second alone: the number speaks for both.
    answered = data and data["request"]
    common = {"serial": time.time_ns() // 1000, "kind": kind, "drawn": shown, "answered": answered}
    return drawing, {**common, **answer}


def _need(drawing: Drawing | None, data: Mapping[str, Any]) -> Drawing:
    """The drawing that a request is about.

    Raises:
        ValueError: there is none, or another image was opened in the meantime.
    """
    if drawing is None:
        raise ValueError("There is no image yet: open one first.")
    if data["of"] != drawing.key:
        raise ValueError("This was meant for the image before, and was left out.")
    return drawing


def _opened_text(drawing: Drawing, max_side: int) -> str:
    height, width = drawing.size
    text = f"{width} x {height} pixels. Paint over the object."
    if drawing.reduced:
        shown = f"{drawing.image.shape[1]} x {drawing.image.shape[0]}"
        text = (
            f"{width} x {height} pixels: more than {max_side} on a side, so that it is worked on "
            f"at {shown}; downloads have the full size. Paint over the object."
        )
    return text


def _fitted(drawing: Drawing, side: int, enlarge: bool) -> tuple[int, int]:
    """Width and height with the longest side as long as ``side``, or shorter."""
    height, width = drawing.image.shape[:2]
    scale = side / max(height, width)
    scale = scale if enlarge else min(1, scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _picture(drawing: Drawing) -> dict[str, Any]:
    height, width = drawing.image.shape[:2]
    size = _fitted(drawing, _VIEW_SIDE, enlarge=False)
    small = cv2.resize(drawing.image, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    url = _data_url("image/jpeg", data)
    return {"key": drawing.key, "size": [width, height], "picture": url}


def _overlay(drawing: Drawing) -> dict[str, Any]:
    mask = drawing.mask
    if mask is None:
        return {"overlay": None, "strokes": 0}
    # Of its own size, so that outlines are fine on small images too.
    size = _fitted(drawing, _OVERLAY_SIDE, enlarge=True)
    shown = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    pixels = np.zeros((*shown.shape, 4), np.uint8)
    pixels[shown > 0] = (*_BLUE, 96)
    outlines, _ = cv2.findContours(shown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, outlines, -1, (255, 255, 255, 255), 7)
    cv2.drawContours(pixels, outlines, -1, (*_BLUE, 255), 4)
    return {
        "overlay": _data_url("image/png", encode_png(pixels)),
        "strokes": len(drawing.steps),
    }


def _file(drawing: Drawing, form: str) -> dict[str, str]:
    if form == "png":
        name, kind, data = f"{drawing.name}_mask.png", "image/png", drawing.png()
    else:
        name, kind, data = f"{drawing.name}_mask.json", "application/json", drawing.rle()
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode()}


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
