"""Images to patches, as the model's own image processor cuts them: patches stand where tokens do."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from monitor.records import InputFacts, Sample
from monitor.replay.tokens import Encoded, Refused, Word

SELF_TEST_SIDE = 32
SMALL_PICTURE = 64
"""Pixels of a side up to which a picture is kept exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGrid:
    """How many tokens stand before the patches ([CLS], registers), and the rows and columns of patches."""

    before: int
    rows: int
    columns: int

    def __len__(self) -> int:
        return self.before + self.rows * self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each token: ``[CLS]``, ``[REG1]``, then ``r0c0``, ``r0c1``...

        >>> PatchGrid(before=1, rows=1, columns=2).names
        ('[CLS]', 'r0c0', 'r0c1')
        """
        first = ["[CLS]", *(f"[REG{number}]" for number in range(1, self.before))][: self.before]
        patches = (f"r{row}c{column}" for row in range(self.rows) for column in range(self.columns))
        return (*first, *patches)


class ImageEncoder:
    """An image processor and the grid of patches that the model cuts its output into."""

    vocabulary = 0

    def __init__(self, processor: Any, grid: PatchGrid, size: tuple[int, ...]) -> None:
        self._processor = processor
        self.size = size
        self.grid = grid
        self.max_tokens = len(grid)
        self.special_ids: frozenset[int] = frozenset()

    def encode(self, sample: Sample) -> Encoded:
        """One image as patches; raises ``Refused`` for what is no image of the model's size."""
        if sample.image is None:
            raise Refused("text: this model reads images; send 'image'")
        pixels = read_pixels(self._processor, sample.image)
        if tuple(pixels.shape) != self.size:
            shape = " x ".join(map(str, pixels.shape))
            raise Refused(f"image: the processor makes {shape} of it, the model takes one size only")
        grid, names = self.grid, self.grid.names
        special = tuple(range(grid.before))
        return Encoded(
            ids=(0,) * len(grid),
            type_ids=None,
            tokens=names,
            special=special,
            words=tuple(Word(text=names[p], tokens=(p,)) for p in range(grid.before, len(grid))),
            facts=InputFacts(
                tokens=len(grid),
                unknown_share=0.0,
                truncated=False,
                special_tokens=len(special),
                tokens_per_word=1.0,
                uppercase_share=0.0,
                punctuation_share=0.0,
            ),
            pixels=pixels,
        )

    def picture(self, pixels: Tensor) -> tuple[str, bytes]:
        """The image that ``encode`` gave these pixels of, to look at: the kind of file and its bytes."""
        shown = pixels.detach().float().cpu()
        if getattr(self._processor, "do_normalize", False):
            mean, spread = (
                torch.tensor(values).reshape(-1, 1, 1)
                for values in (self._processor.image_mean, self._processor.image_std)
            )
            shown = shown * spread + mean
        if getattr(self._processor, "do_rescale", True):
            shown = shown * 255
        whole = shown.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0)
        if max(whole.shape[:2]) <= SMALL_PICTURE:
            return "png", png_bytes(whole)
        file = io.BytesIO()
        Image.fromarray(whole.contiguous().numpy()).save(file, format="JPEG", quality=88)
        return "jpeg", file.getvalue()

    def pipeline(self) -> Mapping[str, str]:
        """How images become inputs: what a baseline is kept with."""
        settings = json.dumps(self._processor.to_dict(), sort_keys=True, default=str)
        return {
            "image size": " x ".join(map(str, self.size)),
            "patches": f"{self.grid.rows} x {self.grid.columns}",
            "image processor": hashlib.sha256(settings.encode()).hexdigest()[:8],
        }


def read_pixels(processor: Any, image: bytes) -> Tensor:
    """(channel, height, width) of an image file's bytes; raises ``Refused`` for what is none."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise Refused(f"image: cannot be read ({type(error).__name__}); send a PNG or JPEG file") from None
    pixels: Tensor = processor(images=picture, return_tensors="pt")["pixel_values"][0]
    return pixels


def self_test_images() -> list[bytes]:
    """Three small pictures that look nothing like each other."""
    draw = torch.Generator().manual_seed(7)
    ramp = torch.arange(SELF_TEST_SIDE).float().expand(SELF_TEST_SIDE, -1) * 8
    checks = (torch.arange(SELF_TEST_SIDE) // 4 % 2).float() * 255
    noise = torch.rand(SELF_TEST_SIDE, SELF_TEST_SIDE, 3, generator=draw) * 255
    pictures = [
        torch.stack([ramp, ramp.T, 255 - ramp], dim=-1),
        (checks[:, None] - checks).abs().unsqueeze(-1).expand(-1, -1, 3),
        noise,
    ]
    return [png_bytes(picture.to(torch.uint8)) for picture in pictures]


def png_bytes(picture: Tensor) -> bytes:
    """A PNG file of (height, width, 3) bytes."""
    file = io.BytesIO()
    Image.fromarray(picture.contiguous().numpy()).save(file, format="PNG")
    return file.getvalue()


def find_grid(network: Any, pixels: Tensor) -> PatchGrid:
    """The grid of a model of the ViT kind, from one forward pass; raises ``ValueError`` for others.

    ``pixels`` (1, channel, height, width). The patch embedding gives (1, patch, hidden); what the
    first layer sees beyond the patches stands before them.
    """
    with torch.no_grad():
        patches = network.get_input_embeddings()(pixels)
        hidden = network(pixel_values=pixels, output_hidden_states=True).hidden_states
    if not isinstance(patches, Tensor) or patches.ndim != 3 or not hidden or hidden[0].ndim != 3:
        raise ValueError("its embedding gives no row of patches")
    count, before = patches.shape[1], hidden[0].shape[1] - patches.shape[1]
    height, width = pixels.shape[2:]
    rows = round((count * height / width) ** 0.5)
    if before < 0 or rows < 1 or count % rows:
        raise ValueError(f"its {hidden[0].shape[1]} tokens are no grid of {count} patches")
    return PatchGrid(before=before, rows=rows, columns=count // rows)
