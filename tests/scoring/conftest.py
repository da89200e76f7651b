"""Tiny random checkpoints built from configs and saved locally, as safetensors."""

import pytest

ANSWER = '{"phrases":["Kick"]}'
WORDS = [ANSWER, "a", "the", "man", "woman", "dog", "ball", "kicks", "kick", "runs", "opens", "door", "red", "not", "before", "after", "text", "text:"]


def tiny_tokenizer(folder, **specials):
    """A word-level tokenizer over WORDS with BERT-like specials."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "eos_token": "[SEP]", "bos_token": "[CLS]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names, **specials)
    fast.save_pretrained(folder)
    return fast


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory):
    """Folder of a one-layer Mistral that answers the keyword prompt with ANSWER, and nothing else with sense."""
    import torch
    import transformers as tf

    from videoperceiver.scoring.keywords_llm import PROMPT

    folder = tmp_path_factory.mktemp("language-model")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = tf.MistralForCausalLM(tf.MistralConfig(vocab_size=64, eos_token_id=3, pad_token_id=0, **sizes))
    prompt = tokenizer(PROMPT + "the man kicks a ball")["input_ids"]
    ids = torch.tensor([[*prompt, *tokenizer(ANSWER, add_special_tokens=False)["input_ids"], 3]])
    labels = torch.where(torch.arange(ids.shape[1])[None] < len(prompt), -100, ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory):
    """Name -> folder of a tiny random "clip", "siglip2", "blip2" and "nli" checkpoint."""
    import torch
    import transformers as tf

    root = tmp_path_factory.mktemp("checkpoints")
    text = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    clip = tf.CLIPModel(tf.CLIPConfig(text_config={**text, "eos_token_id": 3, "pad_token_id": 0}, vision_config=vision, projection_dim=8))
    siglip = tf.SiglipModel(tf.SiglipConfig(text_config={**text, "pad_token_id": 0}, vision_config=vision))
    qformer = {**text, "encoder_hidden_size": 16, "use_qformer_text_input": True, "cross_attention_frequency": 1}
    blip = tf.Blip2ForImageTextRetrieval(
        tf.Blip2Config(vision_config=vision, qformer_config=qformer, num_query_tokens=4, image_text_hidden_size=8, image_token_index=None)
    )
    labels = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    nli = tf.BertForSequenceClassification(tf.BertConfig(**text, id2label=labels, label2id={name: i for i, name in labels.items()}))
    size = {"height": 32, "width": 32}
    processors = {
        "clip": lambda tokens: tf.CLIPProcessor(tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size), tokens),
        "siglip2": lambda tokens: tf.SiglipProcessor(tf.SiglipImageProcessor(size=size), tokens),
        "blip2": lambda tokens: tf.Blip2Processor(tf.BlipImageProcessor(size=size), tokens, num_query_tokens=None),
        "nli": lambda tokens: tokens,
    }
    for name, model in {"clip": clip, "siglip2": siglip, "blip2": blip, "nli": nli}.items():
        model.save_pretrained(root / name)
        processors[name](tiny_tokenizer(root / name)).save_pretrained(root / name)
    return {name: root / name for name in processors}
