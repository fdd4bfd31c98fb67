"""A page of its own, without anything from elsewhere, that shows what the layers of an engine move."""

from collections.abc import Callable, Mapping
from html import escape

from ..layer_times import KINDS
from .layers import LayerTable, LayerTensor

_COLOURS = dict(zip(KINDS, ("#2563a8", "#7c4dbd", "#c2571a", "#3a8f5c", "#8a8f98"), strict=True))

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2129;--soft:#5b6470;--line:#d9dde3;--paper:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaee;--soft:#a2abb8;--line:#3a414c;--paper:#15181d}}
*{box-sizing:border-box}body{margin:0 auto;padding:1rem;max-width:70rem;color:var(--ink);background:var(--paper);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.4rem;margin:.5rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.4rem 0}.soft{color:var(--soft);font-size:.9rem}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:1rem 0}
dl div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem}dt{color:var(--soft);font-size:.8rem}
dd{margin:0;font-size:1.2rem;font-variant-numeric:tabular-nums}
.stage{display:grid;grid-template-columns:4.5rem 1fr 4.5rem;gap:.5rem;align-items:center;font-size:.9rem}
.bar{display:flex;height:1.1rem;background:color-mix(in srgb,var(--line) 40%,transparent)}.bar i{display:block}
.stage b{font-weight:400;text-align:right;font-variant-numeric:tabular-nums}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1rem;margin:.6rem 0;font-size:.85rem}.key i{display:inline-block;width:.8em;
height:.8em;margin-right:.35em}pre{overflow-x:auto;padding:.7rem;border:1px solid var(--line);border-radius:.5rem;
font-size:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.8rem;width:100%}td,th{padding:.25rem .5rem;text-align:left;vertical-align:top;
border-top:1px solid var(--line);white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
"""


_EXPLAINED = (
    "Counts every tensor that a layer reads or writes, once per layer, without constants. This is an upper bound of "
    "the memory traffic, since caches hold a part of it. The figure for 1024x1024 is that of one patch, scaled by "
    "area. Operations are those of convolutions and products; a multiply-add counts as two. Norm nodes are those of "
    "the ONNX; an export with the norm form gpu writes most norms as other nodes."
)


def page(table: LayerTable) -> str:
    """Return the page as HTML."""
    height, width = table.patch_hw
    title = f"{table.engine}: memory traffic by layer"
    head = f"{table.backend}, compute capability {table.architecture}, {height}x{width}, batch {table.batch}"
    return document(
        title,
        head,
        f"{_totals(table)}{_estimate(table)}<h2>Bytes by stage</h2>{stage_bars(table.stages(), _size)}"
        f'<p class="soft">{_EXPLAINED}</p><h2>The same with NVIDIA\'s '
        f"tool</h2><pre>{escape(table.command)}</pre><h2>Layers</h2>{_layers(table)}",
    )


def document(title: str, head: str, body: str) -> str:
    """Return a whole page of HTML. title, head: text. body: HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(head)}</p>{body}</body></html>\n'
    )


def _totals(table: LayerTable) -> str:
    sums = table.totals
    cells = {
        "read and written": _size(sums.bytes),
        "scaled to 1024x1024": f"{sums.gigabytes_1024:.2f} GB",
        "layers": str(sums.layers),
        "in float32": _size(sums.float32_bytes),
        "copies and reformats": str(sums.copies),
        "norm nodes in one kernel": str(sums.norms_fused),
        "norm nodes split up": str(sums.norms_split),
        "operations": f"{table.operations / 1e9:.1f} G",
    }
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in cells.items())}</dl>"


def _estimate(table: LayerTable) -> str:
    found = table.estimate
    if found is None:
        return ""
    return (
        f"<p><strong>Estimate, not measured:</strong> {found.milliseconds:.2f} ms on {escape(found.gpu)} if nothing "
        f"is cached, from its data sheet: {found.memory_ms:.2f} ms for the bytes at {found.bandwidth_gb_s:g} GB/s, "
        f"{found.arithmetic_ms:.2f} ms for the operations at {found.tflops:g} TFLOP/s.</p>"
    )


def stage_bars(stages: Mapping[str, Mapping[str, float]], text: Callable[[float], str]) -> str:
    """Return a bar for each stage, with a part for each kind of layer. text: says an amount with its unit."""
    most = max((sum(kinds.values()) for kinds in stages.values()), default=1)
    key = "".join(f'<span><i style="background:{colour}"></i>{kind}</span>' for kind, colour in _COLOURS.items())
    rows = []
    for stage, kinds in stages.items():
        parts = "".join(
            f'<i style="width:{100 * amount / most:.3f}%;background:{_COLOURS[kind]}" '
            f'title="{kind} {text(amount)}"></i>'
            for kind, amount in kinds.items()
            if amount
        )
        total = text(sum(kinds.values()))
        rows.append(
            f'<div class="stage"><span>{escape(stage)}</span><span class="bar">{parts}</span><b>{total}</b></div>'
        )
    return f'<div class="key">{key}</div>{"".join(rows)}'


def _layers(table: LayerTable) -> str:
    rows = "".join(
        f"<tr><td class=n>{index}</td><td>{escape(layer.stage)}</td><td>{layer.kind}</td>"
        f"<td class=n>{_size(layer.bytes)}</td><td>{_tensors(layer.reads)}</td><td>{_tensors(layer.writes)}</td>"
        f"<td>{escape(layer.name)}</td><td>{escape(layer.tactic)}</td></tr>"
        for index, layer in enumerate(table.layers)
    )
    heads = ("<th class=n></th>", "<th>stage</th>", "<th>kind</th>", "<th class=n>moves</th>")
    names = "".join(f"<th>{name}</th>" for name in ("reads", "writes", "name", "tactic"))
    return f'<div class="wide"><table><tr>{"".join(heads)}{names}</tr>{rows}</table></div>'


def _tensors(tensors: tuple[LayerTensor, ...]) -> str:
    return "<br>".join(f"{_shape(tensor.shape)} {escape(tensor.dtype)}" for tensor in tensors)


def _shape(shape: tuple[int, ...]) -> str:
    """Return a shape for people, with N for an axis of any length."""
    return "x".join("N" if axis < 0 else str(axis) for axis in shape) or "1"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
