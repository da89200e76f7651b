"""Hugging Face video models run over Trees: a video is paid for once, whatever is asked about it."""

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.gather import gathered
from videoperceiver.models.generate import Completion, generate
from videoperceiver.models.lora import Lora
from videoperceiver.models.tree import Node, Tree, batches

__all__ = ["Backbone", "Completion", "Lora", "Node", "Tree", "TreeBuilder", "TreeOutput", "batches", "gathered", "generate"]
