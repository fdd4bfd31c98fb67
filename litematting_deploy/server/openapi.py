"""What the service says of itself: an OpenAPI document, whose fields and types are those of the specs, and a page."""

import html
from typing import Any

from .. import __version__
from ..specs import RESULTS
from .form import FILES, PHOTO, TEXTS, words_for
from .spec import Limits

PAGE, OPENAPI, HEALTH, METRICS = "/", "/openapi.json", "/healthz", "/metrics"
ENGINE, MATTE = "/v1/engine", "/v1/matte"
SAID = {
    PHOTO: "The photo: PNG, JPEG, TIFF, WebP, OpenEXR and others.",
    "trimap": "Its trimap: 0 background, 128 unknown, 255 foreground.",
    "mask": "A binary or soft mask, in the place of a trimap.",
    "plate": "The same view without the subject, in the place of a mask.",
    "sure_foreground": "White strokes on what a mask made from the photo must hold.",
    "sure_background": "White strokes on what it must not hold.",
    "result": "What is sent back; several come in a ZIP.",
    "background": "A colour, as #rrggbb or white, or a picture behind the cut-out, which is opaque then.",
    "background_fit": "Scale a background picture of another size; it is refused otherwise.",
    "box": "X,Y,WIDTH,HEIGHT of a box around the subject, in pixels, instead of a mask.",
    "key": "Colour of the screen behind the subject, instead of a mask: green, blue, auto or #rrggbb.",
    "key_tolerance": "How far a colour may be from the key and still be the screen, 0 to 1.",
    "key_softness": "Over what share beyond that it becomes foreground, 0 to 1.",
    "trimap_encoding": "How the trimap's values are read: 0, 128, 255; all between is unknown; or 0, 1, 2.",
    "allow_no_unknown": "Take a trimap without unknown pixels as the alpha.",
    "unknown_width": "Unknown band on each side of a mask's edge, in pixels or percent of the object's size.",
    "adaptive": "Widen the band where the photo is hairy.",
    "mask_threshold": "The mask is foreground from this value on: in its own numbers, or in percent.",
    "mask_labels": "Class ids of the subject in a mask.",
    "doubt": "LOW,HIGH: values of a mask, 0 to 1, between which its pixels are unknown.",
    "largest": "How many of the largest pieces of a mask are kept.",
    "refine": "Refine the alpha by the photo's own colours, or not.",
    "premultiplied": "The cut-out's colours times its alpha, or not.",
    "depth": "Bit depth of the result; by default, enough to keep the photo's.",
    "format": "Format of the result; by default PNG, and OpenEXR for OpenEXR photos.",
    "exposure": "Stops, applied to an OpenEXR photo for the network alone.",
    "layer": "Layer of an OpenEXR photo.",
    "input_space": "Scene-linear space of an OpenEXR photo by its name in OpenColorIO.",
}
"""What each field is, in a line."""
_ERRORS = {
    "400": "Fields that contradict each other, or are none of this form.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from a page of another site.",
    "408": "The body took too long.",
    "411": "Content-Length is missing.",
    "413": "The body is too large.",
    "415": "The body is no multipart/form-data.",
    "421": "The host name is none of this server's.",
    "422": "A picture that is damaged, too large or does not fit the others, or in which nothing is found.",
    "429": "The queue is full; Retry-After says for how many seconds.",
    "507": "The server is out of disk space or memory.",
}
_EXAMPLES = {
    "The alpha of a photo and its trimap": "-F photo=@photo.jpg -F trimap=@trimap.png -o alpha.png",
    "A cut-out by a box": "-F photo=@photo.jpg -F box=40,20,300,500 -F result=cutout -o cutout.png",
    "A new background, by a green screen": (
        "-F photo=@photo.jpg -F key=green -F result=cutout -F background=#2060c0 -F format=jpeg -o new.jpg"
    ),
    "Two results in 16 bits, by a mask": (
        "-F photo=@photo.tif -F mask=@mask.png -F result=alpha -F result=cutout -F depth=16 -F format=tiff -o both.zip"
    ),
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733}"
    "code,pre{font:14px/1.5 ui-monospace,monospace;background:#f1f4f6;border-radius:4px}code{padding:.1em .3em}"
    "pre{padding:.7em 1em;overflow:auto}table{border-collapse:collapse}"
    "td{border-top:1px solid #d5dce2;padding:.3em .8em .3em 0;vertical-align:top}"
)


def document(limits: Limits, most_bytes: int, *, token: bool, segmenter: str | None) -> dict[str, Any]:
    """Return the OpenAPI document of a service. most_bytes: of a body. token: whether requests must show one.
    segmenter: what makes masks of photos that come alone, if anything does."""
    alone = "A photo may come alone." if segmenter else "A photo needs a trimap, a mask, a box, a key or a plate."
    error = {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    made = {"schema": {"type": "string", "format": "binary"}}
    kinds = ("image/png", "image/tiff", "image/x-exr", "image/jpeg", "application/zip")
    form = {"type": "object", "required": [PHOTO], "properties": _properties()}
    matte = {
        "summary": "Matte a photo",
        "description": f"{alone} Up to {limits.megapixels:g} megapixels and {most_bytes} bytes.",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": {"description": "The result.", "content": dict.fromkeys(kinds, made)},
            **{status: error | {"description": said} for status, said in _ERRORS.items()},
        },
    }
    schemes = {"token": {"type": "http", "scheme": "bearer"}} if token else {}
    others = {ENGINE: "What runs, and its limits", HEALTH: "Whether it runs", METRICS: "Numbers for Prometheus"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "litematting-deploy", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {
            MATTE: {"post": matte},
            **{
                path: {"get": {"summary": said, "responses": {"200": {"description": said}}}}
                for path, said in others.items()
            },
        },
        "components": {
            "securitySchemes": schemes,
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {"type": "string", "description": "What is wrong and what to do, in one sentence."},
                        "field": {"type": "string", "description": "The field of the form that is wrong."},
                    },
                }
            },
        },
        "security": [{name: []} for name in schemes],
    }


def _properties() -> dict[str, Any]:
    """Return the schema of each field of the form."""
    results = {"type": "array", "items": {"type": "string", "enum": list(RESULTS)}, "default": ["alpha"]}
    files = {name: {"type": "string", "format": "binary"} for name in FILES}
    texts = {name: _schema(hint) for name, (hint, _) in TEXTS.items()}
    texts["background"] = {"anyOf": [{"type": "string"}, {"type": "string", "format": "binary"}]}
    return {
        name: {**schema, "description": SAID[name]} for name, schema in (files | {"result": results} | texts).items()
    }


def _schema(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of a field's type; a list may also be one text with commas between its numbers."""
    import msgspec

    whole = msgspec.json.schema(hint)
    kinds = [kind for kind in whole.get("anyOf", [whole]) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def page(described: dict[str, Any]) -> str:
    """Return a page that people read, from a document, without anything of another site."""
    matte = described["paths"][MATTE]["post"]
    rows = "".join(
        f"<tr><td><code>{name}</code></td><td>{_words(name)}</td><td>{html.escape(schema['description'])}</td></tr>"
        for name, schema in matte["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"].items()
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>{html.escape(answer['description'])}</td></tr>"
        for status, answer in matte["responses"].items()
    )
    header = ' -H "Authorization: Bearer $TOKEN"' if described["security"] else ""
    examples = "".join(
        f"<p>{html.escape(what)}:</p><pre>curl{html.escape(header)} $ADDRESS{MATTE} {html.escape(given)}</pre>"
        for what, given in _EXAMPLES.items()
    )
    others = "".join(
        f"<tr><td><code>GET {path}</code></td><td>{html.escape(each['get']['summary'])}</td></tr>"
        for path, each in described["paths"].items()
        if "get" in each
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>litematting-deploy</title>'
        f"<style>{_STYLE}</style></head><body><h1>litematting-deploy {described['info']['version']}</h1>"
        f'<p>Photos to alpha mattes. As a document: <a href="{OPENAPI}">{OPENAPI}</a>.</p>'
        f"<h2>POST {MATTE}</h2><p>A form, <code>multipart/form-data</code>. {html.escape(matte['description'])}</p>"
        f"<table>{rows}</table><h2>Examples</h2>{examples}<h2>Answers</h2>"
        "<p>All but 200 are JSON: <code>error</code>, one sentence, and <code>field</code>.</p>"
        f"<table>{answers}</table><h2>Others</h2><table>{others}</table></body></html>"
    )


def _words(name: str) -> str:
    """Return what a field may be, in words."""
    if name in FILES:
        return "a file"
    if name == "result":
        return f"one of {', '.join(RESULTS)}; may be repeated"
    return "a colour or a file" if name == "background" else words_for(TEXTS[name][0])
