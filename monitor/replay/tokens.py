"""Texts to token ids and words, as the model's own tokenizer cuts them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from monitor.records import InputFacts, Sample

_NO_LIMIT = 1 << 30
_CUTTING_TEXT = "Don't re-read: it's 3.5 % (or $20), Zoë's well-known e-mail; unbelievably so!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of the input and the positions of its tokens."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One sample as the model takes it; ``special`` are the positions of special tokens.

    ``scored``: the positions whose prediction is the answer (of ``decoder_ids``, where there are
    any). A served completion's tokens count as special: they are given, not explained.
    ``pixels``: a tensor (channel, height, width), for images.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None
    tokens: tuple[str, ...]
    special: tuple[int, ...]
    words: tuple[Word, ...]
    facts: InputFacts
    scored: tuple[int, ...] = ()
    decoder_ids: tuple[int, ...] = ()
    pixels: Any = None

    def content(self, *, causal: bool) -> tuple[int, ...]:
        """The positions that attribution explains: none that is special, nor a decoder's first."""
        kept = {*self.special, *((0,) if causal else ())}
        return tuple(place for place in range(len(self.ids)) if place not in kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUse:
    """How a task reads its texts.

    ``pair``: the second text stands beside the first, or is what the model answered to it (behind
    the prompt, or in the decoder). ``scored``: the answer is about nothing in particular, every
    content token, or those of the second text. ``decoder_start``: what decoding begins with.
    """

    pair: Literal["beside", "completion", "decoder"] = "beside"
    scored: Literal["nothing", "content", "pair"] = "nothing"
    decoder_start: tuple[int, ...] = ()


class Refused(ValueError):
    """A sample that this model cannot take; the message is shown to the user."""


class TextEncoder:
    """A tokenizer with a limit. Special tokens are the tokenizer's own but never the unknown one."""

    def __init__(
        self, tokenizer: Any, *, max_tokens: int, vocabulary: int, use: TextUse | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._use = use or TextUse()
        self.vocabulary = vocabulary
        self._lowers = _lowers_case(tokenizer)
        self._unknown = _unknown_id(tokenizer)
        self._takes_types = "token_type_ids" in tokenizer.model_input_names
        self.max_tokens = max_tokens
        self.special_ids = frozenset(tokenizer.all_special_ids) - {self._unknown}

    def encode(self, sample: Sample) -> Encoded:
        """Tokenise one sample, cut to the limit; raises ``Refused``."""
        if sample.image is not None:
            raise Refused("image: this model reads text; send 'text' or 'input_ids'")
        if sample.input_ids is not None:
            return self._given(sample.input_ids)
        beside = self._use.pair == "beside"
        text, pair = sample.text or "", sample.text_pair if beside else None
        fields = self._call(text, pair, truncation=False)
        cut = max(0, len(fields["input_ids"]) - self.max_tokens)
        if cut:
            fields = self._call(text, pair, truncation=True)
        words = self._words(fields, (text, pair or ""))
        types = fields.get("token_type_ids") if self._takes_types else None
        row = self._encoded(fields["input_ids"], types, words, f"{text} {pair or ''}", cut=cut)
        if self._use.scored != "nothing":
            return replace(row, scored=self._scored(row, fields, pair))
        return row if beside else self._answered(row, sample.text_pair)

    def _scored(self, row: Encoded, fields: Any, pair: str | None) -> tuple[int, ...]:
        """The content tokens; of a question and its context, those of the context."""
        content = [position for position in range(len(row.ids)) if position not in row.special]
        if self._use.scored == "pair" and pair is not None:
            if not self._tokenizer.is_fast:
                raise Refused("text_pair: a slow tokenizer does not tell where the context begins")
            sequences = fields.sequence_ids()
            content = [position for position in content if sequences[position] == 1]
        if not content:
            raise Refused("text: leaves no token to predict for; send a text that is not empty")
        return tuple(content)

    def _answered(self, row: Encoded, answer: str | None) -> Encoded:
        """The row with what the model answered to it: behind the prompt, or for its decoder."""
        answer_ids = [] if answer is None else self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        if self._use.pair == "decoder":
            start = self._use.decoder_start
            given = (*start, *answer_ids)[: self.max_tokens]
            cut = len(start) + len(answer_ids) - len(given)
            return _longer_cut(
                replace(row, decoder_ids=given, scored=tuple(range(len(start), len(given)))), cut
            )
        kept = answer_ids[: self.max_tokens - len(row.ids)]
        behind = tuple(range(len(row.ids), len(row.ids) + len(kept)))
        longer = replace(
            row,
            ids=(*row.ids, *kept),
            type_ids=None if row.type_ids is None else (*row.type_ids, *([0] * len(kept))),
            tokens=(*row.tokens, *map(str, self._tokenizer.convert_ids_to_tokens(list(kept)))),
            special=(*row.special, *behind),
            scored=behind,
        )
        return _longer_cut(longer, len(answer_ids) - len(kept))

    def pipeline(self) -> dict[str, str]:
        """How texts become inputs, besides the vocabulary: what a baseline is kept with."""
        added = self._tokenizer.convert_ids_to_tokens(self._call("", None, truncation=False)["input_ids"])
        return {
            "padding side": str(self._tokenizer.padding_side),
            "truncation side": str(self._tokenizer.truncation_side),
            "most tokens": str(self.max_tokens),
            "special tokens added": " ".join(added) or "none",
            "lower-casing": "yes" if self._lowers else "no",
            "words": self._words_digest(),
        }

    def _words_digest(self) -> str:
        """Eight hex digits that tell how a fixed text is cut into words."""
        words = [word.text for word in self.encode(Sample(id="", time=0.0, text=_CUTTING_TEXT)).words]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]

    def _call(self, text: str, pair: str | None, *, truncation: bool) -> Any:
        return self._tokenizer(
            text,
            pair,
            truncation=truncation,
            max_length=self.max_tokens if truncation else None,
            return_offsets_mapping=self._tokenizer.is_fast,
            verbose=False,
        )

    def _given(self, ids: Sequence[int]) -> Encoded:
        strange = [i for i in ids if not 0 <= i < self.vocabulary]
        if strange:
            raise Refused(f"input_ids: {strange[0]} is outside the model's vocabulary of {self.vocabulary}")
        kept = list(ids[: self.max_tokens])
        words, text = None, ""
        if self._tokenizer.is_fast and kept:
            text = self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            again = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            if list(again["input_ids"]) == kept:
                words = self._words(again, (text, ""))
        if words is None:
            tokens = self._tokenizer.convert_ids_to_tokens(kept)
            words = [
                Word(text=token, tokens=(position,))
                for position, token in enumerate(tokens)
                if kept[position] not in self.special_ids
            ]
        types = [0] * len(kept) if self._takes_types else None
        row = self._encoded(kept, types, words, text, cut=max(0, len(ids) - self.max_tokens))
        if self._use.scored == "nothing":
            return row if self._use.pair == "beside" else self._answered(row, None)
        return replace(row, scored=tuple(p for p in range(len(row.ids)) if p not in row.special))

    def _encoded(
        self,
        ids: Sequence[int],
        types: Sequence[int] | None,
        words: Sequence[Word],
        text: str,
        *,
        cut: int,
    ) -> Encoded:
        if not ids:
            raise Refused("text: gives no token; an empty input cannot be analysed")
        special = tuple(position for position, i in enumerate(ids) if i in self.special_ids)
        unknown = sum(i == self._unknown for i in ids)
        return Encoded(
            ids=tuple(ids),
            type_ids=None if types is None else tuple(types),
            tokens=tuple(str(token) for token in self._tokenizer.convert_ids_to_tokens(list(ids))),
            special=special,
            words=tuple(words),
            facts=InputFacts(
                tokens=len(ids),
                unknown_share=unknown / len(ids),
                truncated=cut > 0,
                tokens_cut=cut,
                special_tokens=len(special),
                tokens_per_word=(len(ids) - len(special)) / max(len(words), 1),
                uppercase_share=_share(text, str.isupper, of=lambda c: c.isupper() or c.islower()),
                punctuation_share=_share(text, _is_punctuation, of=lambda c: not c.isspace()),
            ),
        )

    def _words(self, fields: Any, texts: tuple[str, str]) -> list[Word]:
        """Neighbouring tokens of one word id; white space splits where the tokenizer does not."""
        ids = fields["input_ids"]
        if not self._tokenizer.is_fast:
            tokens = self._tokenizer.convert_ids_to_tokens(ids)
            return [Word(text=t, tokens=(p,)) for p, t in enumerate(tokens) if ids[p] not in self.special_ids]
        word_ids, sequences = fields.word_ids(), fields.sequence_ids()
        runs: list[tuple[tuple[int, int], list[int], int, int]] = []  # key, tokens, start, end
        for position, (start, end) in enumerate(fields["offset_mapping"]):
            if word_ids[position] is None or ids[position] in self.special_ids:
                continue
            key = (sequences[position] or 0, word_ids[position])
            joins = bool(runs) and runs[-1][0] == key
            if joins:
                text = texts[key[0]]
                between = text[runs[-1][3] : max(start, runs[-1][3])] + text[start : start + 1]
                joins = not any(letter.isspace() for letter in between)
            if joins:
                _, members, first, last = runs[-1]
                runs[-1] = (key, [*members, position], first, max(last, end))
            else:
                runs.append((key, [position], start, end))
        words = [Word(text=self._text(texts[k[0]][a:b]), tokens=tuple(m)) for k, m, a, b in runs]
        return [word for word in words if word.text]

    def _text(self, text: str) -> str:
        stripped = text.strip()
        return stripped.lower() if self._lowers else stripped


def _longer_cut(row: Encoded, cut: int) -> Encoded:
    """The row with this many more tokens counted as cut."""
    if cut <= 0:
        return row
    return replace(row, facts=replace(row.facts, truncated=True, tokens_cut=row.facts.tokens_cut + cut))


def _share(text: str, which: Callable[[str], bool], *, of: Callable[[str], bool]) -> float:
    chosen = [letter for letter in text if of(letter)]
    return sum(map(which, chosen)) / max(len(chosen), 1)


def _is_punctuation(letter: str) -> bool:
    return unicodedata.category(letter).startswith(("P", "S"))


def token_limit(tokenizer: Any, config: Any, padding_index: int | None, wanted: int | None) -> int:
    """The smallest of the tokenizer's, the model's and the user's limit.

    RoBERTa's positions begin after its padding index, so it takes that many tokens less.
    """
    limits = [_NO_LIMIT]
    if isinstance(tokenizer.model_max_length, int) and tokenizer.model_max_length < _NO_LIMIT:
        limits.append(tokenizer.model_max_length)
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - (0 if padding_index is None else padding_index + 1))
    if wanted is not None:
        limits.append(wanted)
    return min(limits)


def _lowers_case(tokenizer: Any) -> bool:
    """Whether a word that the tokenizer knows gives the same ids in capitals."""
    for word in ("the", "a", "i", "1a", "headwatch"):
        lower, upper = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (word, word.upper()))
        if tokenizer.unk_token_id not in lower:
            return bool(lower == upper)
    return False


def _unknown_id(tokenizer: Any) -> int | None:
    """The unknown token, unless the tokenizer uses the same one for something else (GPT-2)."""
    unknown: int | None = tokenizer.unk_token_id
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id,
              tokenizer.pad_token_id)  # fmt: skip
    return None if unknown in others else unknown
