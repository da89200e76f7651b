"""ms-swift: JSON lines of `messages` with `videos`, a `<video>` in the text for each.

Format: https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html, "Supervised Fine-tuning" and "Multimodal". Relative paths are looked
for below ROOT_IMAGE_DIR, else below the working folder (https://swift.readthedocs.io/en/latest/Instruction/Command-line-parameters.html). Further
fields are dropped for fine-tuning and handed to the reward functions by GRPO, where `solution` is the reference.
"""

from typing import Any

from videoperceiver.data.exports.rows import Asked, ExportFormat


def row(number: int, asked: Asked) -> dict[str, Any]:
    """One conversation of one question: what our model sees in one branch of a clip's tree."""
    question = asked.question
    media = {"videos": [asked.path]} if asked.media == "video" else {"images": [asked.path]} if asked.media == "image" else {}
    return {
        "messages": [{"role": "user", "content": asked.tagged}, {"role": "assistant", "content": asked.answer}],
        **media,
        "solution": asked.answer,
        "kind": question.kind if question else "open",
        "options": list(question.options) if question else [],
        "sample": asked.sample.id,
        **asked.twins,
    }


MS_SWIFT = ExportFormat("ms_swift", "{split}.jsonl", row, array=False)
