"""A server that speaks Triton's gRPC protocol and computes with ONNX Runtime; run by the Python of .venv-triton.

    triton_stub.py REPOSITORY REQUESTS [--certificate CHAIN.pem KEY.pem] [--die-after N]

It prints its port. Of every request it adds a line to the file REQUESTS: model, version, patches. Beside the models of
the repository it has every fault of `FAULTS` as a model of that name: litematting, misbehaving so.
"""

import argparse
import os
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

FAULTS = ("unready", "narrow", "truncated", "nan", "refusing", "hanging", "other", "originless", "batchless")
HANGS_S = 30
TYPES = {"FP32": "<f4", "UINT8": "u1"}


class Stub(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, repository: Path, requests: Path, die_after: int | None) -> None:
        self.requests, self.left = requests, die_after
        self.configs, self.sessions = {}, {}
        for folder in sorted(path for path in repository.iterdir() if (path / "1" / "model.onnx").exists()):
            text = (folder / "config.pbtxt").read_text(encoding="utf-8")
            config = text_format.Parse(text, model_config_pb2.ModelConfig())
            assert config.name == folder.name
            self.configs[folder.name] = config
            self.sessions[folder.name] = onnxruntime.InferenceSession(
                str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"]
            )

    def config(self, name: str, context: Any) -> Any:
        if name not in (*self.configs, *FAULTS):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        config = model_config_pb2.ModelConfig()
        config.CopyFrom(self.configs["litematting" if name in FAULTS else name])
        config.name = name
        if name == "originless":
            config.parameters.clear()
        if name == "batchless":
            config.max_batch_size = 0
        if name == "other":
            config.output[0].name = "matte"
        return config

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="stub", version="0.0.1")

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        ready = request.name in (*self.configs, *FAULTS) and request.name != "unready" and request.version in ("", "1")
        return service_pb2.ModelReadyResponse(ready=ready)

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelConfigResponse(config=self.config(request.name, context))

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        config = self.config(request.name, context)
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=["1"], platform=config.platform)
        for tensors, said in ((config.input, answer.inputs), (config.output, answer.outputs)):
            for tensor in tensors:
                kind = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
                said.add(name=tensor.name, datatype=kind, shape=[-1, *tensor.dims])
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = request.model_name
        config = self.config(name, context)
        arrays = {}
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
            arrays[tensor.name] = np.frombuffer(raw, TYPES[tensor.datatype]).reshape(tensor.shape)
            wanted = next(wanted for wanted in config.input if wanted.name == tensor.name)
            kind = model_config_pb2.DataType.Name(wanted.data_type).removeprefix("TYPE_")
            fits = (tensor.datatype, list(tensor.shape[1:])) == (kind, list(wanted.dims))
            if not fits or tensor.shape[0] > config.max_batch_size:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unexpected shape for input '{tensor.name}'")
        with self.requests.open("a") as file:
            file.write(f"{name} {request.model_version or '-'} {len(arrays['image'])}\n")
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os._exit(1)
        if name == "refusing":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the GPU is\non holiday")
        if name == "hanging":
            time.sleep(HANGS_S)
        (alpha,) = self.sessions["litematting" if name in FAULTS else name].run(["alpha"], arrays)
        return self.answer(name, alpha)

    def answer(self, name: str, alpha: Any) -> Any:
        if name == "narrow":
            alpha = alpha[..., 1:]
        if name == "nan":
            alpha = np.full_like(alpha, np.nan)
        raw = np.ascontiguousarray(alpha).tobytes()
        answer = service_pb2.ModelInferResponse(model_name=name, model_version="1")
        answer.outputs.add(name="alpha", datatype="FP32", shape=alpha.shape)
        answer.raw_output_contents.append(raw[:-4] if name == "truncated" else raw)
        return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("repository", type=Path)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--certificate", type=Path, nargs=2)
    parser.add_argument("--die-after", type=int)
    chosen = parser.parse_args()
    largest = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=largest)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        Stub(chosen.repository, chosen.requests, chosen.die_after), server
    )
    if chosen.certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        chain, key = (path.read_bytes() for path in chosen.certificate)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
