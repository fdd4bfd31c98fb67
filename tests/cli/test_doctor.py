"""ltm-doctor as a user runs it."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import litematting_deploy
from tests.conftest import BLOCKED, Run, assert_one_line, run

CPU_CHECKS = {"shipped weights", "image formats", "cache folder", "ONNX Runtime on the CPU", "PyTorch on the CPU"} | {
    *("clips", "foreground colours", "kernels compile", "ltm-build for RTX GPUs"),
}
GPU_CHECKS = {"NVIDIA driver", "kernels run", "ONNX Runtime, CUDA", "ONNX Runtime, TensorRT"} | {
    *("PyTorch on CUDA", "TensorRT engines", "TensorRT for RTX engines"),
}


OTHERS = {"OpenVINO", "ONNX Runtime, WebGPU", "ONNX Runtime, CoreML", "PyTorch on Apple's GPU"}


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def words(result: Run) -> str:
    """The table without its line breaks."""
    return " ".join(result.out.split())


def checks(path: Path) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(path.read_bytes())["checks"]}


def test_what_runs_here_and_why_the_rest_does_not(tmp_path: Path) -> None:
    result = run("ltm-doctor", "--full", "--json", tmp_path / "doctor.json")
    assert (result.code, result.err) == (0, ""), result
    assert result.out.splitlines()[-1] == (
        "verdict: ltm-infer works here, on the CPU; everything else that is installed works"
    )
    content = json.loads((tmp_path / "doctor.json").read_bytes())
    assert content["healthy"] is True
    assert {"cpu", "gpus", "python", "versions"} <= set(content["environment"])
    said = checks(tmp_path / "doctor.json")
    assert set(said) == CPU_CHECKS | GPU_CHECKS | {"OpenEXR", "HEIC and AVIF", "Triton client"} | OTHERS
    for name in CPU_CHECKS:
        assert said[name]["state"] == "runs", said[name]
        assert f"{name} runs" in words(result)
    assert said["ONNX Runtime on the CPU"]["version"].startswith("onnxruntime ")
    assert said["ONNX Runtime on the CPU"]["detail"] == (
        "the example patch and a flat one match to 0.0001 (640x640 fp32)"
    )
    for check in said.values():
        assert set(check) == {"name", "group", "needed", "state", "version", "detail", "seconds"}
        assert check["detail"]
        assert check["detail"] in words(result)
    if not has_driver():
        for name in GPU_CHECKS:
            assert f"{name} unavailable" in words(result)
        assert "no NVIDIA driver (libcuda.so.1)" in said["NVIDIA driver"]["detail"]
        for name in ("kernels run", "ONNX Runtime, CUDA", "PyTorch on CUDA", "TensorRT for RTX engines"):
            assert "no CUDA driver" in said[name]["detail"]


def test_in_short_slow_engines_are_imported_and_gpus_are_one_row(tmp_path: Path) -> None:
    before = os.times()
    result = run("ltm-doctor", "--json", tmp_path / "doctor.json")
    now = os.times()
    assert (result.code, result.err) == (0, ""), result
    assert result.out.splitlines()[-1].startswith("verdict: ltm-infer works here, on the CPU; ")
    said = checks(tmp_path / "doctor.json")
    for name in ("PyTorch on the CPU", "ltm-build for RTX GPUs", "kernels compile"):
        assert said[name]["state"] == "installed"
    assert said["ONNX Runtime on the CPU"]["state"] == "runs"
    if not has_driver():
        assert [name for name in said if name in GPU_CHECKS | OTHERS - {"OpenVINO"}] == []
        assert said["GPUs"]["state"] == "unavailable"
        assert "no NVIDIA driver" in said["GPUs"]["detail"]
        assert "--full lists what is missing for each kind of GPU" in words(result)
    used_s = now.children_user + now.children_system - before.children_user - before.children_system
    assert used_s < 60, "30 s on two cores"


def test_what_is_installed_and_broken_fails(tmp_path: Path) -> None:
    """An extra that is there and does not import; the default path is whole."""
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise ImportError('libavcodec.so.99: cannot open')")
    result = subprocess.run(
        [Path(sys.executable).parent / "ltm-doctor", "--json", tmp_path / "doctor.json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert checks(tmp_path / "doctor.json")["clips"]["state"] == "broken"
    assert result.stdout.splitlines()[-1] == ("verdict: ltm-infer works here, on the CPU; installed but broken: clips")


def test_without_onnxruntime_the_default_path_is_broken() -> None:
    result = run("ltm-doctor", block="onnxruntime,torch,tensorrt_rtx")
    assert_one_line(result, 1, "ONNX Runtime on the CPU: ", "[cpu]'")
    assert "image formats runs" in words(result)
    assert "ONNX Runtime on the CPU unavailable" in words(result)


def test_without_all_that_is_optional_it_works(tmp_path: Path) -> None:
    blocked = "pymatting,numba,scipy,torch,tensorrt_rtx,tensorrt,cuda,onnx,safetensors,av,tritonclient,openvino"
    blocked += ",onnxruntime_ep_webgpu"
    result = run("ltm-doctor", "--full", "--json", tmp_path / "doctor.json", block=blocked)
    assert (result.code, result.err) == (0, ""), result
    said = checks(tmp_path / "doctor.json")
    assert said["ONNX Runtime on the CPU"]["state"] == "runs"
    for name, install in (
        ("PyTorch on the CPU", "[export]'"),
        ("PyTorch on CUDA", "[export]'"),
        ("OpenVINO", "[openvino]'"),
        ("ONNX Runtime, WebGPU", "[webgpu]'"),
        ("Triton client", "[triton]'"),
        ("clips", "[video]'"),
        ("kernels compile", "[cuda13]'"),
        ("kernels run", "[cuda13]'"),
        ("ltm-build for RTX GPUs", "[rtx-cu13]'"),
        ("TensorRT engines", "[trt-cu13]'"),
        ("TensorRT for RTX engines", "[rtx-cu13]'"),
    ):
        assert said[name]["state"] == "unavailable", said[name]
        assert install in said[name]["detail"]


def test_damaged_weights(tmp_path: Path) -> None:
    """A copy of the package with one wrong bit in its weights."""
    source = Path(litematting_deploy.__file__).parent
    copy = tmp_path / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    weights = copy / "assets" / "litematting.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from litematting_deploy.cli.doctor import main; main()", "--json", "d.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{BLOCKED}", "LTM_BLOCK": "torch,tensorrt_rtx"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert [line.partition("here: ")[2].split(":")[0] for line in done.stderr.strip().splitlines()] == [
        *("shipped weights", "ONNX Runtime on the CPU"),
    ]
    said = checks(tmp_path / "d.json")
    assert said["shipped weights"]["state"] == "broken"
    assert f"{weights}: its SHA-256 is " in said["shipped weights"]["detail"]
    assert said["image formats"]["state"] == "runs"
    assert json.loads((tmp_path / "d.json").read_bytes())["healthy"] is False


def test_without_opencv_it_still_tells() -> None:
    result = run("ltm-doctor", block="cv2")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "image formats: import of cv2 halted; None in sys.modules: a library is missing" in result.err


def test_a_json_that_cannot_be_written(tmp_path: Path) -> None:
    assert_one_line(run("ltm-doctor", "--json", tmp_path / "no" / "d.json"), 1, "cannot be written")
