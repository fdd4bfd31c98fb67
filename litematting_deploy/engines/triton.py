"""A model that NVIDIA's Triton Inference Server serves, as an engine: patches go to it over gRPC, alphas come back."""

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from .._optional import require
from ..errors import ArtefactError, DeviceError, NotFiniteError, UsageError
from .base import Batch, Engine, check_batch, check_contract

DEFAULT_TIMEOUT_S = 120.0
_QUESTION_TIMEOUT_S = 10.0
_PORT = 8001  # where Triton answers gRPC unless it is told otherwise
_LARGEST_MESSAGE = 2**31 - 1  # gRPC's own limit; unless told otherwise, it refuses answers above 4 MiB
_HEADERS = 2**16  # what a request holds beside its patches is far below
NO_ANSWER = "the server does not answer"
# gRPC's status -> what to say of it
_FAILURES = {
    "UNAVAILABLE": f"{NO_ANSWER}; start tritonserver there, or correct the address ({{said}})",
    "DEADLINE_EXCEEDED": "no answer within {limit_s:g} s; allow more time with `timeout_s`, or send fewer patches at a "
    "time with `batch`",
    "UNIMPLEMENTED": f"this is not the gRPC port of a Triton server, which is {_PORT} by default ({{said}})",
}
_FAILURE = "the server refused the request, {status}: {said}; see its log"


class TritonEngine(Engine):
    """`grpc://HOST[:8001]/MODEL[/VERSION]`; `grpcs://` is over TLS, with the certificate authorities that gRPC ships.

    The server sees the patches, and what it answers is taken for alpha once its shape and type are right and its
    values are numbers. `grpc://` neither hides nor proves anything: it is for networks of one's own.
    """

    def __init__(self, url: str, batch: int | None = None, timeout_s: float | None = None) -> None:
        """batch: most patches a request has, by default the model's `max_batch_size`. timeout_s: of each request.

        Nothing is tried again. Raises `ArtefactError` for a model of another kind, `DeviceError` where the server or
        the model is not there or not ready, `DependencyError` or `UsageError`.
        """
        address, self._model, self._version = _parts(url)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own words about a failure, beside our one line
        self._grpc: Any = require("tritonclient.grpc", "triton", "a model on a Triton server")
        self._url, self._timeout_s = url, timeout_s or DEFAULT_TIMEOUT_S
        options = [("grpc.enable_retries", 0)]  # a request that fails is reported at once
        options += [(f"grpc.max_{way}_message_length", _LARGEST_MESSAGE) for way in ("send", "receive")]
        self._client = self._grpc.InferenceServerClient(address, ssl=url.startswith("grpcs:"), channel_args=options)
        self.name, self.device, self.batch = "triton", address, None
        try:
            self._ask_for_model(batch)
        except BaseException:
            self.close()
            raise

    def _ask_for_model(self, batch: int | None) -> None:
        """Set what the server says of itself and of the model."""
        client, which = self._client, (self._model, self._version)
        limit_s = min(_QUESTION_TIMEOUT_S, self._timeout_s)
        self.version = self._asked(limit_s, client.get_server_metadata).version
        if not self._asked(limit_s, client.is_model_ready, *which):
            raise DeviceError(
                f"{self._url}: the server has no model {self._model} that is ready; check its log, and that its "
                "model repository is the one that ltm-export wrote"
            )
        metadata = self._asked(limit_s, client.get_model_metadata, *which)
        config = self._asked(limit_s, client.get_model_config, *which).config
        tensors = {item.name: (list(item.shape), item.datatype) for item in (*metadata.inputs, *metadata.outputs)}
        if "guide" in tensors:
            self.patch_hw = check_contract(self._url, tensors, "FP32")
        else:
            self.patch_hw, self.reach = _pixel_contract(self._url, tensors)
        if config.max_batch_size < 1:
            raise ArtefactError(
                f"{self._url}: its max_batch_size is {config.max_batch_size}, expected 1 or more; create its "
                "configuration with ltm-export"
            )
        patch_bytes = sum(4 * int(np.prod(shape[1:])) for shape, _ in tensors.values())  # or fewer
        most = max(1, min(config.max_batch_size, (_LARGEST_MESSAGE - _HEADERS) // patch_bytes))
        check_batch(batch, self._url, most, "choose a smaller one")
        self.most = batch or most
        said = {name: value.string_value for name, value in config.parameters.items()}
        self.precision = said.get("litematting.precision") or "unknown"
        self.weights_sha256 = said.get("litematting.checkpoint_sha256") or None

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        if self.reach is not None:
            raise UsageError(f"{self._url}: expects pixels, but was given tensors; call `run_pixels`, or use a Matter")
        return self._inferred("FP32", image=image, trimap=trimap, guide=guide)

    def _run_pixels(self, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Batch:
        return self._inferred("UINT8", image=image, trimap=trimap)

    def _inferred(self, kind: str, **arrays: NDArray[Any]) -> Batch:
        """Return the alpha that the server makes of arrays, all of one `kind` in Triton's words."""
        inputs = []
        for name, array in arrays.items():
            inputs.append(self._grpc.InferInput(name, array.shape, kind))
            inputs[-1].set_data_from_numpy(array)
        wanted = [self._grpc.InferRequestedOutput("alpha")]
        result = self._asked(self._timeout_s, self._client.infer, self._model, inputs, self._version, wanted)
        return self._checked(result.get_response(), (len(arrays["image"]), 1, *self.patch_hw))

    def _checked(self, response: Any, shape: tuple[int, ...]) -> Batch:
        """Return the alpha of a response of that shape. Raises `DeviceError` for any other response."""
        found = [(item.name, tuple(item.shape), item.datatype) for item in response.outputs]
        sizes = [len(content) for content in response.raw_output_contents]
        if found != [("alpha", shape, "FP32")] or sizes != [4 * int(np.prod(shape))]:
            raise DeviceError(
                f"{self._url}: returned {found} of {sizes} bytes, expected alpha {shape} FP32; check that it is the "
                "model that ltm-export wrote"
            )
        return np.frombuffer(response.raw_output_contents[0], "<f4").reshape(shape)

    def _asked(self, limit_s: float, question: Callable[..., Any], *arguments: Any) -> Any:
        """Return the server's answer to a call of the client. Raises `DeviceError`, which says what to do."""
        try:
            return question(*arguments, client_timeout=limit_s)
        except self._grpc.InferenceServerException as error:
            status, said = str(error.status()).removeprefix("StatusCode."), " ".join(str(error.message()).split())
            text = _FAILURES.get(status, _FAILURE).format(status=status, said=said, limit_s=limit_s)
            raise DeviceError(f"{self._url}: {text}") from error

    def not_finite(self) -> NotFiniteError:
        """Return what to raise when alpha contains NaN or infinity, with the model's address."""
        return NotFiniteError(
            f"{self._url}: the alpha of this image contains NaN or infinity; use another engine for it, or serve an "
            "export with batch norms"
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        self.closed = True


def _pixel_contract(url: str, tensors: dict[str, tuple[list[int], str]]) -> tuple[tuple[int, int], int]:
    """Return patch size and reach of a model that takes pixels. Raises `ArtefactError` for any other."""
    _, height, width, _ = (*tensors.get("image", ([], ""))[0], 0, 0, 0, 0)[:4]
    seen = tensors.get("trimap", ([0, 0, 0], ""))[0]
    reach = (seen[1] - height) // 2
    sizes = {
        "image": [height, width, 3],
        "trimap": [height + 2 * reach, width + 2 * reach],
        "alpha": [1, height, width],
    }
    wanted = {name: ([-1, *size], "FP32" if name == "alpha" else "UINT8") for name, size in sizes.items()}
    if tensors != wanted or reach < 0 or height < 32 or width < 32:
        raise ArtefactError(
            f"{url}: has {tensors}, expected inputs image, trimap and guide (or, for pixels, image (H, W, 3) and a "
            "trimap with a margin on each side) and output alpha; create the model with ltm-export"
        )
    return (height, width), reach


def _parts(url: str) -> tuple[str, str, str]:
    """Return address, model and version (empty for the newest) of a URL. Raises `UsageError`."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError as error:
        raise UsageError(f"{url}: not an address ({error}); expected grpc://HOST:8001/MODEL") from None
    model, _, version = parts.path.strip("/").partition("/")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if not host or not model or not (version.isdecimal() or not version) or parts.username or parts.query:
        raise UsageError(
            f"{url}: expected {parts.scheme}://HOST:8001/MODEL or .../MODEL/VERSION, such as /litematting/1"
        )
    return f"{host}:{port}", model, version
