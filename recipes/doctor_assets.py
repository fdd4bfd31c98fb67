"""Write what `ltm-doctor` compares engines with: `assets/tiny.onnx` and `assets/expected.json`.

python recipes/doctor_assets.py             # after the weights were replaced; `make weights` does it, too
"""

import onnx
from onnx import TensorProto, helper

from litematting_deploy.doctor.expected import PATCHES, block_means
from litematting_deploy.engines.base import CHANNELS
from litematting_deploy.files import replace_file, sha256
from litematting_deploy.runtime.loading import load_engine
from litematting_deploy.runtime.shipped import EXPECTED, SHIPPED_CHECKPOINT, TINY_ENGINE

SIDE, OPSET, IR = 32, 21, 10
WEIGHTS = (0, 0, 0, 0, 0.5, 1, 0, 0)
"""Of image (3 channels), trimap (background, unknown, foreground) and guide (2)."""


def tiny_onnx() -> bytes:
    """Return a network of one convolution that keeps the contract of the real one."""
    tensors = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, SIDE, SIDE])
        for name, channels in CHANNELS.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["image", "trimap", "guide"], ["all"], axis=1),
            helper.make_node("Conv", ["all", "weights"], ["alpha"], kernel_shape=[1, 1]),
        ],
        "tiny",
        [tensors[name] for name in ("image", "trimap", "guide")],
        [tensors["alpha"]],
        [helper.make_tensor("weights", TensorProto.FLOAT, [1, len(WEIGHTS), 1, 1], WEIGHTS)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def expected_json() -> bytes:
    """Return what PyTorch makes of the patches, one row of blocks per line."""
    with load_engine(SHIPPED_CHECKPOINT) as reference:
        means = {name: block_means(reference, name).round(5).tolist() for name in PATCHES}
    parts = [f'  "checkpoint_sha256": "{sha256(SHIPPED_CHECKPOINT)}"']
    for name, rows in means.items():
        lines = ",\n".join(f"    {row}" for row in rows)
        parts.append(f'  "{name}": [\n{lines}\n  ]')
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


if __name__ == "__main__":
    replace_file(TINY_ENGINE, tiny_onnx())
    replace_file(EXPECTED, expected_json())
