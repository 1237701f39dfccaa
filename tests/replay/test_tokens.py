"""Words, limits and facts as the tokenizer itself sees the input."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast, RobertaConfig

from monitor.records import Sample
from monitor.replay.tokens import Encoded, Refused, TextEncoder, token_limit
from tests.models import word_piece_tokenizer


def encode(encoder: TextEncoder, text: str | None = None, **fields: Any) -> Encoded:
    return encoder.encode(Sample(id="s", time=0.0, text=text, **fields))


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(word_piece_tokenizer(), max_tokens=12, vocabulary=64)


def words(encoded: Encoded) -> list[tuple[str, tuple[int, ...]]]:
    return [(word.text, word.tokens) for word in encoded.words]


def test_pieces_are_merged_to_words_in_the_case_that_the_model_sees(encoder: TextEncoder) -> None:
    encoded = encode(encoder, "The UNABLE dog, walking!")
    assert encoded.tokens == ("[CLS]", "the", "un", "##able", "dog", ",", "walk", "##ing", "!", "[SEP]")
    assert words(encoded) == [
        ("the", (1,)), ("unable", (2, 3)), ("dog", (4,)), (",", (5,)), ("walking", (6, 7)), ("!", (8,)),
    ]  # fmt: skip
    assert encoded.special == (0, 9)


def test_words_of_a_pair_are_kept_apart(encoder: TextEncoder) -> None:
    encoded = encode(encoder, "the dog", text_pair="the cat")
    assert words(encoded) == [("the", (1,)), ("dog", (2,)), ("the", (4,)), ("cat", (5,))]
    assert encoded.type_ids == (0, 0, 0, 0, 1, 1, 1)
    assert encoded.facts.special_tokens == 3


def test_unknown_words_are_counted_and_are_no_special_tokens(encoder: TextEncoder) -> None:
    encoded = encode(encoder, "the zebra")
    assert encoded.facts.unknown_share == 0.25
    assert encoded.special == (0, 3)
    assert words(encoded) == [("the", (1,)), ("zebra", (2,))]


def test_long_texts_are_cut_with_their_separator_and_counted(encoder: TextEncoder) -> None:
    encoded = encode(encoder, "the dog ran " * 10)
    assert len(encoded.ids) == 12
    assert encoded.tokens[-1] == "[SEP]"
    assert encoded.facts.truncated
    assert not encode(encoder, "the dog " * 5).facts.truncated


def test_given_ids_are_kept_as_they_are_with_the_words_of_their_text(encoder: TextEncoder) -> None:
    wanted = encode(encoder, "the unable dog")
    given = encode(encoder, input_ids=wanted.ids)
    assert given.ids == wanted.ids
    assert given.special == wanted.special
    assert [word.text for word in given.words] == ["the", "unable", "dog"]


def test_given_ids_that_no_text_gives_have_their_tokens_as_words(encoder: TextEncoder) -> None:
    tokenizer = word_piece_tokenizer()
    ids = tuple(tokenizer.convert_tokens_to_ids(["##able", "un", "dog"]))
    assert words(encode(encoder, input_ids=ids)) == [("##able", (0,)), ("un", (1,)), ("dog", (2,))]


def test_given_ids_are_cut_to_the_limit(encoder: TextEncoder) -> None:
    encoded = encode(encoder, input_ids=tuple([5] * 20))
    assert len(encoded.ids) == 12
    assert encoded.facts.truncated


def test_ids_outside_the_vocabulary_are_refused(encoder: TextEncoder) -> None:
    with pytest.raises(Refused, match=r"^input_ids: 64 is outside the model's vocabulary of 64$"):
        encode(encoder, input_ids=(1, 64))


def test_no_token_at_all_is_refused() -> None:
    encoder = TextEncoder(word_piece_tokenizer(decoder=True), max_tokens=12, vocabulary=64)
    with pytest.raises(Refused, match=r"^text: gives no token; an empty input cannot be analysed$"):
        encode(encoder, " ")


def test_white_space_splits_words_where_the_tokenizer_has_one_word_for_the_whole_text() -> None:
    letters = {chr(code): number for number, code in enumerate(range(32, 123))}
    plain = Tokenizer(models.BPE(vocab=letters, merges=[]))
    encoder = TextEncoder(PreTrainedTokenizerFast(tokenizer_object=plain), max_tokens=99, vocabulary=99)
    assert [word.text for word in encode(encoder, "two Words").words] == ["two", "Words"]


def test_a_byte_level_tokenizer_gives_words_without_their_space() -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    plain = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(sorted(alphabet))}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder = TextEncoder(PreTrainedTokenizerFast(tokenizer_object=plain), max_tokens=99, vocabulary=300)
    assert [word.text for word in encode(encoder, "Ein Bär ran.").words] == ["Ein", "Bär", "ran", "."]


def test_the_limit_is_the_smallest_and_leaves_room_for_robertas_padding() -> None:
    tokenizer = word_piece_tokenizer(model_max_length=40)
    assert token_limit(tokenizer, BertConfig(max_position_embeddings=64), None, None) == 40
    assert token_limit(tokenizer, BertConfig(max_position_embeddings=32), None, None) == 32
    assert token_limit(tokenizer, RobertaConfig(max_position_embeddings=34), 1, None) == 32
    assert token_limit(tokenizer, BertConfig(max_position_embeddings=64), None, 16) == 16
