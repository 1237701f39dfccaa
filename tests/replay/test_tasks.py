"""Each task: what it predicts and which number its attribution explains, against transformers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from monitor.analysis.settings import AnalysisSettings, AttributionSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample, SampleAnalysis
from monitor.replay.images import self_test_images
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from monitor.replay.tokens import Refused
from tests.families import FAMILIES
from tests.models import spread, word_piece_tokenizer

TEXT = "The cat sat on the mat, and the small red dog ran."
CONTEXT = "It was unable to walk; but it ran, very quickly."
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
         "vocab_size": 64, "max_position_embeddings": 64}  # fmt: skip
BART = {"vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2,
        "eos_token_id": 3, "decoder_start_token_id": 3, "forced_eos_token_id": None}  # fmt: skip


def saved(
    build: Callable[[], Any], folder: Path, factor: float = 3.0, forced: int | None = None, **options: Any
) -> Path:
    torch.manual_seed(0)
    network = spread(build(), factor)
    if forced is not None:
        network.generation_config.forced_bos_token_id = forced
    network.save_pretrained(folder)
    word_piece_tokenizer(**options).save_pretrained(folder)
    return folder


def analyser_of(folder: Path) -> Analyser:
    settings = AnalysisSettings(attribution=AttributionSettings(tolerance=1e-3))
    return Analyser(load_model(ModelSettings(source=str(folder))), settings)


def analysed(analyser: Analyser, **fields: Any) -> SampleAnalysis:
    return analyser.profile([Sample(id="s", time=0.0, **fields)]).analyses[0]


def eager(folder: Path, kind: Any) -> Any:
    return kind.from_pretrained(str(folder), attn_implementation="eager").eval()


def explained_gap(
    analyser: Analyser, network: Any, score: Callable[[Any], torch.Tensor], **fields: Any
) -> float:
    """How far the attributions' sum is from score(input) - score(baseline), as a share of that."""
    sample = Sample(id="s", time=0.0, **fields)
    row = analyser.model.encoder.encode(sample)
    values = analyser.attribute([sample])[0].values
    embed = (
        network.get_encoder().get_input_embeddings() if row.decoder_ids else network.get_input_embeddings()
    )
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        given = embed(ids)
        kept = {*row.special, 0} if analyser.model.causal else {*row.special}
        content = [p for p in range(len(row.ids)) if p not in kept]
        empty = given.clone()
        empty[0, content] = embed(torch.tensor(analyser.model.padding_id))
        extra = {"decoder_input_ids": torch.tensor([row.decoder_ids])} if row.decoder_ids else {}
        if row.type_ids is not None and any(row.type_ids):
            extra["token_type_ids"] = torch.tensor([row.type_ids])
        whole, none = (score(network(inputs_embeds=e, **extra)) for e in (given, empty))
    assert float((whole - none).abs()) > 0.01
    return abs(float(values.sum()) / float(whole - none) - 1)


@pytest.fixture
def token_classifier(tmp_path: Path) -> Path:
    return saved(lambda: hf.BertForTokenClassification(hf.BertConfig(num_labels=3, **SIZES)), tmp_path)


@pytest.fixture
def answerer(tmp_path: Path) -> Path:
    return saved(lambda: hf.BertForQuestionAnswering(hf.BertConfig(**SIZES)), tmp_path)


def test_a_token_classifier_gives_the_share_of_each_label(token_classifier: Path) -> None:
    analyser = analyser_of(token_classifier)
    assert (analyser.model.answer, analyser.model.identity.task) == ("tokens", "token-classification")
    network = eager(token_classifier, hf.BertForTokenClassification)
    row = analyser.model.encoder.encode(Sample(id="s", time=0.0, text=TEXT))
    logits = network(torch.tensor([row.ids])).logits[0, 1:-1].double().detach()
    shares = logits.softmax(-1).mean(0).numpy()
    predicted = analysed(analyser, text=TEXT).prediction
    assert predicted is not None
    np.testing.assert_allclose(predicted.probabilities, shares, atol=1e-5)
    assert predicted.label == f"LABEL_{shares.argmax()}"


def test_a_token_classifiers_target_is_the_mean_logit_of_the_predicted_labels(token_classifier: Path) -> None:
    network = eager(token_classifier, hf.BertForTokenClassification)
    ids = torch.tensor([word_piece_tokenizer()(TEXT)["input_ids"]])
    labels = network(ids).logits[0, 1:-1].argmax(-1)

    def score(output: Any) -> torch.Tensor:
        return output.logits[0, 1:-1].gather(1, labels[:, None]).mean()

    assert explained_gap(analyser_of(token_classifier), network, score, text=TEXT) < 0.01


def _best_span(output: Any, first: int, last: int) -> tuple[int, int]:
    start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
    pairs = [(i, j) for i in range(first, last) for j in range(i, min(last, i + 30))]
    return max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])


def test_an_answer_is_a_span_of_the_context_and_its_logits_are_explained(answerer: Path) -> None:
    analyser = analyser_of(answerer)
    network, tokenizer = eager(answerer, hf.BertForQuestionAnswering), word_piece_tokenizer()
    fields = tokenizer(TEXT, CONTEXT, return_tensors="pt")
    begin = fields["token_type_ids"][0].tolist().index(1)
    with torch.no_grad():
        output = network(**fields)
    start, end = _best_span(output, begin, fields["input_ids"].shape[1] - 1)
    predicted = analysed(analyser, text=TEXT, text_pair=CONTEXT).prediction
    assert predicted is not None
    assert predicted.target == start
    assert predicted.label == tokenizer.decode(fields["input_ids"][0, start : end + 1])
    allowed = slice(begin, fields["input_ids"].shape[1] - 1)
    chance = (
        output.start_logits[0, allowed].double().softmax(0)[start - begin]
        * output.end_logits[0, allowed].double().softmax(0)[end - begin]
    )
    assert predicted.probability == pytest.approx(float(chance), abs=1e-5)

    def score(given: Any) -> torch.Tensor:
        return given.start_logits[0, start] + given.end_logits[0, end]

    assert explained_gap(analyser, network, score, text=TEXT, text_pair=CONTEXT) < 0.01


def test_a_regression_carries_its_own_value_and_explains_it(tmp_path: Path) -> None:
    config = hf.BertConfig(problem_type="regression", num_labels=1, **SIZES)
    folder = saved(lambda: hf.BertForSequenceClassification(config), tmp_path, 8.0)
    analyser = analyser_of(folder)
    network = eager(folder, hf.BertForSequenceClassification)
    identity = analyser.model.identity
    assert (analyser.model.answer, identity.task, identity.labels) == ("value", "regression", ())
    ids = torch.tensor([word_piece_tokenizer()(TEXT)["input_ids"]])
    with torch.no_grad():
        value = float(network(ids).logits[0, 0])
    predicted = analysed(analyser, text=TEXT).prediction
    assert predicted is not None
    assert predicted.values == (pytest.approx(value, abs=1e-5),)
    assert explained_gap(analyser, network, lambda given: given.logits[0, 0], text=TEXT) < 0.01


def test_of_several_values_the_largest_in_size_is_explained(tmp_path: Path) -> None:
    config = hf.BertConfig(problem_type="regression", num_labels=3, **SIZES)
    folder = saved(lambda: hf.BertForSequenceClassification(config), tmp_path, 8.0)
    analyser, network = analyser_of(folder), eager(folder, hf.BertForSequenceClassification)
    ids = torch.tensor([word_piece_tokenizer()(TEXT)["input_ids"]])
    largest = int(network(ids).logits[0].abs().argmax())
    predicted = analysed(analyser, text=TEXT).prediction
    assert predicted is not None
    assert predicted.target == largest
    assert explained_gap(analyser, network, lambda given: given.logits[0, largest], text=TEXT) < 0.01


def test_a_multi_label_classifier_gives_each_label_a_probability_of_its_own(tmp_path: Path) -> None:
    config = hf.BertConfig(problem_type="multi_label_classification", num_labels=3, **SIZES)
    analyser = analyser_of(saved(lambda: hf.BertForSequenceClassification(config), tmp_path))
    predicted = analysed(analyser, text=TEXT).prediction
    assert analyser.model.answer == "labels"
    assert predicted is not None
    assert abs(sum(predicted.probabilities) - 1) > 1e-3


def test_an_embedding_is_explained_along_its_own_direction(tmp_path: Path) -> None:
    folder = saved(lambda: hf.BertModel(hf.BertConfig(**SIZES)), tmp_path)
    analyser, network = analyser_of(folder), eager(folder, hf.BertModel)
    ids = torch.tensor([word_piece_tokenizer()(TEXT)["input_ids"]])
    with torch.no_grad():
        mean = network(ids).last_hidden_state[0].mean(0)

    def score(given: Any) -> torch.Tensor:
        return given.last_hidden_state[0].mean(0) @ (mean / mean.norm())

    assert explained_gap(analyser, network, score, text=TEXT) < 0.01
    assert analysed(analyser, text=TEXT).prediction is None


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    config = hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=3, n_head=4)
    return saved(lambda: hf.GPT2LMHeadModel(config), tmp_path, 5.0, decoder=True)


def test_a_served_completion_is_explained_by_its_mean_log_probability(decoder: Path) -> None:
    analyser, network = analyser_of(decoder), eager(decoder, hf.GPT2LMHeadModel)
    tokenizer = word_piece_tokenizer(decoder=True)
    prompt, served = (tokenizer(text)["input_ids"] for text in (TEXT, "the dog ran slowly."))
    with torch.no_grad():
        logs = network(torch.tensor([prompt + served])).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
    chosen = logs.gather(1, torch.tensor(served)[:, None])
    predicted = analysed(analyser, text=TEXT, text_pair="the dog ran slowly.").prediction
    assert predicted is not None
    assert predicted.probability == pytest.approx(float(chosen.mean().exp()), abs=1e-5)
    assert predicted.label == tokenizer.decode(logs.argmax(-1))

    def score(given: Any) -> torch.Tensor:
        logs = given.logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
        return logs.gather(1, torch.tensor(served)[:, None]).mean()

    pair = {"text": TEXT, "text_pair": "the dog ran slowly."}
    assert explained_gap(analyser, network, score, **pair) < 0.01
    values = analyser.attribute([Sample(id="s", time=0.0, **pair)])[0].values
    assert (values[len(prompt) :] == 0).all()
    assert (values[: len(prompt)] != 0).any()


def test_prompts_with_and_without_completion_go_in_batches_of_their_own(decoder: Path) -> None:
    analyser = analyser_of(decoder)
    samples = [
        Sample(id="0", time=0.0, text="the dog", text_pair="ran"),
        Sample(id="1", time=0.0, text="the dog ran"),
        Sample(id="2", time=0.0, text="a cat", text_pair="sat on the mat and ran"),
    ]
    together = analyser.profile(samples).analyses
    for one, sample in zip(together, samples, strict=True):
        alone = analyser.profile([sample]).analyses[0]
        assert one.prediction is not None
        assert alone.prediction is not None
        assert one.prediction.label == alone.prediction.label
        assert one.prediction.probability == pytest.approx(alone.prediction.probability, abs=1e-5)
        np.testing.assert_allclose(one.profile, alone.profile, atol=1e-5)


def test_a_completion_that_does_not_fit_is_cut_and_counted(decoder: Path) -> None:
    model = load_model(ModelSettings(source=str(decoder), max_tokens=5))
    row = model.encoder.encode(Sample(id="s", time=0.0, text="the dog ran", text_pair="a cat sat on the mat"))
    assert (len(row.ids), row.scored) == (5, (3, 4))
    assert (row.facts.truncated, row.facts.tokens_cut) == (True, 4)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_an_encoder_decoder_explains_its_served_answer_by_the_encoders_tokens(
    name: str, tiny_family: Callable[[str], Path]
) -> None:
    folder = tiny_family(name)
    analyser, network = analyser_of(folder), eager(folder, FAMILIES[name].loader)
    served = word_piece_tokenizer()("the dog ran", add_special_tokens=False)["input_ids"]
    stacks = analyser.model.finding.stacks
    assert stacks == ("encoder", "encoder", "decoder", "decoder", "cross", "cross")

    def score(given: Any) -> torch.Tensor:
        logs = given.logits[0].log_softmax(-1)[: len(served)]
        return logs.gather(1, torch.tensor(served)[:, None]).mean()

    assert explained_gap(analyser, network, score, text=TEXT, text_pair="the dog ran") < 0.01


def test_an_encoder_decoder_without_an_answer_predicts_its_first_token(
    tiny_family: Callable[[str], Path],
) -> None:
    folder = tiny_family("t5")
    analyser, network = analyser_of(folder), eager(folder, hf.T5ForConditionalGeneration)
    ids = torch.tensor([word_piece_tokenizer()(TEXT)["input_ids"]])
    logits = network(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
    predicted = analysed(analyser, text=TEXT).prediction
    assert predicted is not None
    assert predicted.target == int(logits.argmax())


def test_generation_starts_with_the_token_that_is_forced(tmp_path: Path) -> None:
    folder = saved(lambda: hf.BartForConditionalGeneration(hf.BartConfig(**BART)), tmp_path, forced=2)
    row = load_model(ModelSettings(source=str(folder))).encoder.encode(Sample(id="s", time=0.0, text=TEXT))
    assert row.decoder_ids == (3, 2)


def test_a_classifier_with_a_decoder_takes_its_embeddings_at_the_module(tmp_path: Path) -> None:
    folder = saved(lambda: hf.BartForSequenceClassification(hf.BartConfig(**BART)), tmp_path)
    analyser = analyser_of(folder)
    model = analyser.model
    assert (model.route, model.finding.stacks[-1], model.answer) == ("module", "cross", "classes")
    network = eager(folder, hf.BartForSequenceClassification)
    ids = torch.tensor([word_piece_tokenizer()(TEXT)["input_ids"]])
    with torch.no_grad():
        logits = network(ids).logits[0].double()
    predicted = analysed(analyser, text=TEXT).prediction
    assert predicted is not None
    np.testing.assert_allclose(predicted.probabilities, logits.softmax(-1).numpy(), atol=1e-5)
    assert analyser.attribute([Sample(id="s", time=0.0, text=TEXT)])[0].relative_delta < 0.05


def test_an_encoder_decoders_embedding_is_its_encoders(tmp_path: Path) -> None:
    sizes = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    folder = saved(lambda: hf.T5EncoderModel(hf.T5Config(**sizes)), tmp_path)
    model = load_model(ModelSettings(source=str(folder)))
    assert (model.identity.task, model.answer, model.tier, model.layers_seen) == (
        "encoder", "embedding", "tap", 2,
    )  # fmt: skip
    assert model.finding.stacks == ()


def test_patches_stand_where_tokens_do(tiny_family: Callable[[str], Path]) -> None:
    folder = tiny_family("vit")
    analyser = analyser_of(folder)
    image = self_test_images()[2]
    analysis = analysed(analyser, image=image)
    assert analysis.tokens[:3] == ("[CLS]", "r0c0", "r0c1")
    assert len(analysis.tokens) == 17
    network = eager(folder, hf.ViTForImageClassification)
    pixels = analyser.model.encoder.encode(Sample(id="s", time=0.0, image=image)).pixels[None]
    with torch.no_grad():
        logits = network(pixels).logits[0].double()
    assert analysis.prediction is not None
    np.testing.assert_allclose(analysis.prediction.probabilities, logits.softmax(-1).numpy(), atol=1e-5)
    explained = analyser.attribute([Sample(id="s", time=0.0, image=image)])[0]
    target = analysis.prediction.target
    with torch.no_grad():
        difference = logits[target] - network(torch.zeros_like(pixels)).logits[0, target]
    assert float(explained.values.sum()) == pytest.approx(float(difference), abs=5e-3)
    assert explained.values[0] == 0


def test_a_model_of_images_without_a_classifier_is_an_encoder_of_images(
    tiny_family: Callable[[str], Path], tmp_path: Path
) -> None:
    classifier = eager(tiny_family("dinov2"), hf.Dinov2ForImageClassification)
    classifier.dinov2.save_pretrained(tmp_path)
    hf.AutoImageProcessor.from_pretrained(tiny_family("dinov2")).save_pretrained(tmp_path)
    analyser = analyser_of(tmp_path)
    model, image = analyser.model, self_test_images()[2]
    assert (model.identity.task, model.answer, model.tier, model.layers_seen) == (
        "encoder", "embedding", "tap", 3,
    )  # fmt: skip
    pixels = model.encoder.encode(Sample(id="s", time=0.0, image=image)).pixels[None]
    explained = analyser.attribute([Sample(id="s", time=0.0, image=image)])[0]
    with torch.no_grad():
        given, nothing = (
            classifier.dinov2(one).last_hidden_state[0].double().mean(dim=0)
            for one in (pixels, torch.zeros_like(pixels))
        )
    difference = float((given - nothing) @ (given / given.norm()))
    assert float(explained.values.sum()) == pytest.approx(difference, rel=0.05)
    assert explained.tokens[:2] == ("[CLS]", "r0c0")


def test_what_is_no_image_and_what_is_no_text_is_refused_in_words(
    tiny_family: Callable[[str], Path], decoder: Path
) -> None:
    images = load_model(ModelSettings(source=str(tiny_family("vit")))).encoder
    texts = load_model(ModelSettings(source=str(decoder))).encoder
    with pytest.raises(Refused, match=r"^text: this model reads images; send 'image'$"):
        images.encode(Sample(id="s", time=0.0, text="a dog"))
    with pytest.raises(
        Refused, match=r"^image: cannot be read \(UnidentifiedImageError\); send a PNG or JPEG file$"
    ):
        images.encode(Sample(id="s", time=0.0, image=b"GIF8?"))
    with pytest.raises(Refused, match=r"^image: this model reads text; send 'text' or 'input_ids'$"):
        texts.encode(Sample(id="s", time=0.0, image=self_test_images()[0]))


@pytest.mark.parametrize(
    ("maker", "pairs"),
    [
        ("token_classifier", (None, None)),
        ("answerer", (CONTEXT, "the dog ran")),
        ("decoder", ("ran", "a cat sat")),
    ],
)
def test_attributions_of_a_padded_batch_are_those_of_single_rows(
    maker: str, pairs: tuple[str | None, str | None], request: pytest.FixtureRequest
) -> None:
    analyser = analyser_of(request.getfixturevalue(maker))
    samples = [
        Sample(id=text, time=0.0, text=text, text_pair=pair)
        for text, pair in zip((TEXT, "the dog ran"), pairs, strict=True)
    ]
    assert len(analyser.model.plan(list(analyser.encode(samples)[0].values()))) == 1
    for one, sample in zip(analyser.attribute(samples), samples, strict=True):
        alone = analyser.attribute([sample])[0]
        np.testing.assert_allclose(one.values, alone.values, atol=1e-4)
