"""Loading of pretrained helpers through transformers, with one kind of error."""

from typing import Any

from videoperceiver.errors import ModelError


def load_pretrained(auto_class: str, model: str, **options: Any) -> Any:
    """`transformers.<auto_class>.from_pretrained(model, **options)`, never running code from the checkpoint.

    Raises:
        ModelError: it is not there, or not of this kind.
    """
    import transformers

    try:
        return getattr(transformers, auto_class).from_pretrained(model, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(
            f"{model!r} cannot be loaded as {auto_class} ({str(error)[:400]}); "
            "expected a hub id or a folder with config, processor files and safetensors weights"
        ) from error


def load_model(auto_class: str, model: str, device: str | None, **options: Any) -> Any:
    """A network for inference, its weights from safetensors alone and all of them present.

    Args:
        auto_class: name of a transformers class.
        model: hub id or folder.
        device: "cpu", "cuda", ..; None takes CUDA where present.
        options: of `from_pretrained`.

    Raises:
        ModelError: it cannot be loaded, or the checkpoint lacks weights of this kind of model.
    """
    import torch

    network, found = load_pretrained(auto_class, model, use_safetensors=True, output_loading_info=True, **options)
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"{model!r} lacks {len(missing)} weights of {type(network).__name__}, such as {missing[0]!r}; it is a checkpoint of another kind of model"
        )
    return network.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
