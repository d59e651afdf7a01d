"""Tiny text classifiers and what transformers says of some captions, for test/safety/text-classifier.test.ts.

    pip install -r tools/oracle/requirements-text.txt && python tools/oracle/text_classifier_goldens.py

Writes test/fixtures/text-classifier/<name>/{config,tokenizer,tokenizer_config,golden}.json and model.onnx: a BERT with
WordPiece and many labels, a RoBERTa with byte-level BPE and one label of several. Random weights, seeded; the
tokenizers' trainers break ties differently from run to run, so the files belong together.
"""
import json
import pathlib
import shutil
import warnings

import numpy as np
import onnxruntime
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "fixtures" / "text-classifier"
CAPTIONS = [
    "a photo of a cat on a mat",
    "A Photo of a CAT, on a mat!",
    "",
    "   spaces   and\ttabs\n and lines  ",
    "café crème, naïve façade – “quoted”",
    "日本語のキャプション 中文标题",
    "emoji 🙂 and 🏳️‍🌈 flags",
    "[SEP] <s> </s> [CLS] <pad> are only words here, [MASK] too",
    "unbelievablylongwordwithoutanyspace" * 3,
    "one two three four five six seven eight nine ten " * 8,
    "$5.99 50% off!!! #sale @shop http://example.com/a?b=c",
    "It's the dog's bone; they'll re-use \"it\" (again)...",
]
WORDS = "a photo of the cat dog on mat picture sale shop with in and it one two three four five six seven eight nine ten"


def bert():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=180, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([WORDS] * 50 + CAPTIONS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=40, problem_type="multi_label_classification", pad_token_id=0,
        id2label={0: "toxic", 1: "obscene", 2: "threat"}, attn_implementation="eager")
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    return tokenizer, names, transformers.BertForSequenceClassification(config)


def roberta():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([WORDS] * 50 + CAPTIONS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    config = transformers.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=50, type_vocab_size=1, pad_token_id=1,
        id2label={0: "neutral", 1: "toxic"}, attn_implementation="eager")
    names = dict(pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>", mask_token="<mask>",
                 bos_token="<s>", eos_token="</s>")
    return tokenizer, names, transformers.RobertaForSequenceClassification(config)


def write(name, make, max_length, inputs):
    torch.manual_seed(0)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    raw, names, model = make()
    # Weights wide enough that the scores differ from caption to caption.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.5)
    model.eval()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=max_length, **names)
    tokenizer.save_pretrained(folder)
    model.config.save_pretrained(folder)
    example = tokenizer(["a cat", "a dog on the mat"], padding=True, return_tensors="pt")
    args = {k: example[k] if k in example else torch.zeros_like(example["input_ids"]) for k in inputs}
    torch.onnx.export(
        model, (args,), folder / "model.onnx", input_names=inputs, output_names=["logits"], dynamo=False,
        dynamic_axes={k: {0: "n", 1: "t"} for k in inputs} | {"logits": {0: "n"}}, opset_version=17)
    pipe = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True)
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    scores = []
    for caption in CAPTIONS:
        answer = {item["label"]: item["score"] for item in pipe([caption])[0]}
        scores.append([answer[label] for label in labels])
    ids = [tokenizer(caption, truncation=True)["input_ids"] for caption in CAPTIONS]
    # The exported graph says what the model says.
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    feeds = {k: np.array([ids[0]]) * 0 for k in inputs} | {"input_ids": np.array([ids[0]])}
    feeds["attention_mask"] = feeds["attention_mask"] + 1
    logits = torch.from_numpy(session.run(None, feeds)[0][0])
    found = torch.sigmoid(logits) if model.config.problem_type else torch.softmax(logits, 0)
    assert np.allclose(found.numpy(), scores[0], atol=1e-5), (found, scores[0])
    versions = {m.__name__: m.__version__ for m in (transformers, torch, onnxruntime)}
    rows = ",\n".join(json.dumps(row) for row in zip(CAPTIONS, ids, scores))
    (folder / "golden.json").write_text(
        f'{{"versions": {json.dumps(versions)}, "labels": {json.dumps(labels)}, "rows": [\n{rows}\n]}}\n')
    for path in folder.iterdir():
        if path.name not in {"config.json", "tokenizer.json", "tokenizer_config.json", "golden.json", "model.onnx"}:
            path.unlink()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    write("bert", bert, 30, ["input_ids", "attention_mask", "token_type_ids"])
    write("roberta", roberta, 48, ["input_ids", "attention_mask"])
    # As in many repositories, nobody says how long a text may be: 50 positions, of which padding takes two.
    path = OUT / "roberta" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": int(1e30)}, indent=2) + "\n")
