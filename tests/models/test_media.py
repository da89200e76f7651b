"""Rows with one picture, and rows of text alone, against the plain transformers forward of the same row."""

import numpy as np
import pytest
import torch

from videoperceiver.errors import ModelError, SampleError
from videoperceiver.models import TreeBuilder
from videoperceiver.types import Clip

ASKED = [("what colour is the flash ?", "red"), ("how many times ?", "one then three")]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=["qwen2_5_vl", "qwen3_vl"])
def family(request):
    return request.param


def picture(height=48, width=64):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def built(backbone, clip, media):
    builder = TreeBuilder(backbone, clip, media=media)
    video = builder.video()
    for question, answer in ASKED:
        builder.answer(builder.question(video, question), answer)
    return builder.tree()


def plain_logps(plain, shown, images):
    rows = []
    for question, answer in ASKED:
        conversation = [{"role": "user", "content": [*shown, {"type": "text", "text": question}]}]
        text = plain.processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False) + f"{answer}<|im_end|>"
        inputs = plain.processor(text=[text], images=images, return_tensors="pt")
        count = len(answer.split()) + 1
        logits = plain.model(**inputs).logits[0, -count - 1 : -1].float()
        rows.append(logits.log_softmax(-1).gather(1, inputs["input_ids"][0, -count:, None]).squeeze(1))
    return torch.cat(rows)


@pytest.mark.parametrize("size", [(48, 64), (20, 100)])  # the second is resized
def test_a_picture_is_the_plain_forward_of_an_image(backbone, plain, size):
    pixels = picture(*size)
    out = backbone([built(backbone, Clip(pixels[None], np.zeros(1), "a.png"), "image")])
    expected = plain_logps(plain, [{"type": "image"}], [pixels])
    torch.testing.assert_close(out.logps, expected, **TOLERANCE)
    (-out.logps.mean()).backward()
    (-expected.mean()).backward()
    wanted = dict(plain.model.named_parameters())
    for name, weight in backbone.adapter.model.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, wanted[name].grad, rtol=1e-3, atol=5e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert backbone.adapter.vision[0].patch_embed.proj.weight.grad.any()


def test_text_alone_is_the_plain_forward_of_the_text(backbone, plain):
    tree = built(backbone, Clip(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0), "t"), "none")
    with torch.no_grad():
        torch.testing.assert_close(backbone([tree]).logps, plain_logps(plain, [], None), **TOLERANCE)


def test_videos_pictures_and_texts_share_a_batch(backbone, make_clip):
    trees = [
        built(backbone, make_clip(), "video"),
        built(backbone, Clip(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0), "t"), "none"),
        built(backbone, Clip(picture()[None], np.zeros(1), "a.png"), "image"),
    ]
    with torch.no_grad():
        together = backbone(trees)
        alone = [backbone([tree]).logps for tree in trees]
    torch.testing.assert_close(together.logps, torch.cat(alone), **TOLERANCE)


def test_a_template_without_pictures_is_named(qwen):
    qwen.processor.chat_template = qwen.processor.chat_template.replace("part.type == 'image'", "part.type == 'picture'")
    with pytest.raises(ModelError, match=r"expected one '<\|vision_start\|><\|image_pad\|>"):
        TreeBuilder(qwen, Clip(picture()[None], np.zeros(1), "a.png"), media="image")


def test_a_processor_that_normalises_pictures_by_other_means_is_refused(qwen):
    qwen.processor.image_processor.image_mean = [0.1, 0.1, 0.1]
    with pytest.raises(ModelError, match="other means than videos"):
        TreeBuilder(qwen, Clip(picture()[None], np.zeros(1), "a.png"), media="image")


def test_a_family_without_pictures_rejects_the_sample(folders):
    from videoperceiver.models import Backbone

    backbone = Backbone.load(folders["internvl"])
    with pytest.raises(SampleError, match="use a Qwen-VL checkpoint"):
        TreeBuilder(backbone, Clip(picture()[None], np.zeros(1), "a.png"), media="image")
